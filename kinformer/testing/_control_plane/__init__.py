"""A real etcd and kube-apiserver."""
