package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
)

// The loop of a controller, as client-go's example has it: workers take keys from a rate limiting queue, and patch the
// ConfigMap of the key. The limit of the client's own requests (QPS) is off, so that only the server's wish slows it.
func overload(o options) error {
	client, err := kubernetes.NewForConfig(&rest.Config{Host: o.url, QPS: -1})
	if err != nil {
		return err
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	for i := 0; i < o.objects; i++ {
		queue.Add(fmt.Sprintf("c-%d", i))
	}
	patch := []byte(`{"data":{"seen":"1"}}`)
	for i := 0; i < o.workers; i++ {
		go func() {
			for {
				key, quit := queue.Get()
				if quit {
					return
				}
				_, err := client.CoreV1().ConfigMaps("default").Patch(
					context.Background(), key, types.MergePatchType, patch, metav1.PatchOptions{})
				if err != nil {
					queue.AddRateLimited(key)
				} else {
					queue.Forget(key)
				}
				queue.Done(key)
			}
		}()
	}
	time.Sleep(seconds(o.seconds))
	return nil
}
