// Checks of a Kubernetes API server by client-go and controller-runtime; the server is that of $KUBECONFIG.
//
// With $SERVER_KUBECONFIG, $KUBECONFIG leads to a proxy of that server, and readers of both are compared; with the
// argument "define", only the custom resource of these readers is defined.
//
// Each check prints one line: "ok NAME" or "FAIL NAME:  REASON".
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func main() {
	log.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	base, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		panic(err)
	}
	if os.Args[len(os.Args)-1] == "define" {
		if err := defineLamps(base); err != nil {
			panic(err)
		}
		return
	}
	if path := os.Getenv("SERVER_KUBECONFIG"); path != "" {
		server, err := clientcmd.BuildConfigFromFlags("", path)
		if err != nil {
			panic(err)
		}
		readerChecks(server, base)
		fmt.Printf("passed %d failed %d\n", passed, failed)
		return
	}
	base.QPS, base.Burst = 1000, 1000
	for _, form := range []string{"json", "protobuf"} {
		cfg := rest.CopyConfig(base)
		cfg.ContentType = "application/json"
		if form == "protobuf" {
			cfg.ContentType = "application/vnd.kubernetes.protobuf"
			cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
		}
		prefix = "typed client, " + form + ": "
		typed(form, cfg)
	}
	prefix = "defaults: "
	run("create a namespace", func(ctx context.Context) error {
		_, err := kubernetes.NewForConfigOrDie(base).CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "dflt-"}}, metav1.CreateOptions{})
		return err
	})
	for _, form := range []string{"", "json"} {
		cfg := rest.CopyConfig(base)
		prefix = "default content type: "
		if form == "json" {
			cfg.ContentType = "application/json"
			prefix = "JSON: "
		}
		dynamicChecks(cfg)
		operatorChecks(cfg, strings.TrimSuffix("operator-"+form, "-"))
	}
	fmt.Printf("passed %d failed %d\n", passed, failed)
}
