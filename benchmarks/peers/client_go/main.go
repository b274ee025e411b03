// What client-go's informers cost, and the recorded objects as protobuf; called by the benchmarks in Python.
//
//	client_go encode                   pods as JSON, one a line, on standard input; as protobuf, with their lengths, on standard output
//	client_go informer -url URL ...    an informer as client-go's documentation has it; its costs as one line of JSON
//	client_go kind -url URL ...        the same for any resource
//	client_go latency -url URL ...     how long after a write its handler is called
//	client_go lister -url URL ...      lists by label selector and by index
//	client_go stamps -url URL ...      how long after the server sent it an event reaches its handler
//	client_go overload -url URL ...    a controller whose requests the server refuses
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("expected encode, informer, kind, latency, lister, stamps or overload"))
	}
	command, given := os.Args[1], os.Args[2:]
	var err error
	switch command {
	case "encode":
		err = encode(os.Stdin, os.Stdout)
	case "informer":
		err = informer(parsed(given))
	case "kind":
		err = kind(parsed(given))
	case "latency":
		err = latency(parsed(given))
	case "lister":
		err = lister(parsed(given))
	case "stamps":
		err = stamps(parsed(given))
	case "overload":
		err = overload(parsed(given))
	default:
		err = fmt.Errorf("unknown command %q: expected encode, informer, kind, latency, lister, stamps or overload", command)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "client_go:", err)
	os.Exit(1)
}

// What the command line says.
type options struct {
	url      string
	encoding string
	objects  int
	events   int
	warmUp   int
	workers  int
	reads    bool
	seconds  float64
	ca       string
	resource string
}

func parsed(given []string) options {
	var o options
	flags := flag.NewFlagSet("client_go", flag.ExitOnError)
	flags.StringVar(&o.url, "url", "", "the API server")
	flags.StringVar(&o.encoding, "encoding", "json", "json or protobuf")
	flags.IntVar(&o.objects, "objects", 0, "how many the list holds")
	flags.IntVar(&o.events, "events", 0, "how many events to measure")
	flags.IntVar(&o.warmUp, "warm-up", 0, "how many events to let pass before")
	flags.IntVar(&o.workers, "workers", 0, "how many take keys")
	flags.BoolVar(&o.reads, "reads", false, "the handler reads status.phase, an index spec.nodeName")
	flags.StringVar(&o.ca, "ca", "", "file of the authority that signed the server's certificate")
	flags.StringVar(&o.resource, "resource", "", "group/version/plural of the objects")
	flags.Float64Var(&o.seconds, "seconds", 0, "how long to measure")
	_ = flags.Parse(given)
	return o
}

// A client for requests beside the informer's, which trusts the same authority.
func httpClient(o options) (*http.Client, error) {
	return rest.HTTPClientFor(&rest.Config{Host: o.url, TLSClientConfig: rest.TLSClientConfig{CAFile: o.ca}})
}

// A factory with client-go's defaults, but for the encoding and the server.
func factory(o options) (informers.SharedInformerFactory, error) {
	config := &rest.Config{Host: o.url, TLSClientConfig: rest.TLSClientConfig{CAFile: o.ca}}
	// Said also for JSON: left open, clients of built-in types ask for protobuf.
	config.ContentType = "application/json"
	config.AcceptContentTypes = "application/json"
	if o.encoding == "protobuf" {
		config.ContentType = "application/vnd.kubernetes.protobuf"
		config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return informers.NewSharedInformerFactory(client, 0), nil
}

// User and system time of this process so far, in microseconds: that of the collector's threads, too.
func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	micro := func(t syscall.Timeval) float64 { return float64(t.Sec)*1e6 + float64(t.Usec) }
	return micro(usage.Utime) + micro(usage.Stime)
}

// Resident memory of this process, in bytes.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kilobytes * 1024
		}
	}
	return 0
}

func report(values map[string]any) error {
	return json.NewEncoder(os.Stdout).Encode(values)
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}
