#!/bin/sh
exec sleep 47
