// Command etcd is the store of the Kubernetes release that go.mod pins, in the version that release is tested with.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
