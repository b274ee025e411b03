package main

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// How long after the server sent it an event reaches the handler: the server puts the time into an annotation.
func stamps(o options) error {
	shared, err := factory(o)
	if err != nil {
		return err
	}
	var took []float64
	done := make(chan struct{})
	pods := shared.Core().V1().Pods().Informer()
	_, err = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, obj any) {
			now := time.Now().UnixNano()
			sent, err := strconv.ParseInt(obj.(*corev1.Pod).Annotations["checksum/config"], 10, 64)
			if err != nil || len(took) == o.events {
				return
			}
			took = append(took, float64(now-sent)/1e6)
			if len(took) == o.events {
				close(done)
			}
		},
	})
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	shared.Start(stop)
	shared.WaitForCacheSync(stop)
	browser, err := httpClient(o)
	if err != nil {
		return err
	}
	answer, err := browser.Get(o.url + "/replay/begin")
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	start, began := cpu(), time.Now()
	select {
	case <-done:
	case <-time.After(time.Minute):
		return fmt.Errorf("fewer than %d events came", o.events)
	}
	return report(map[string]any{"took": took, "cpu": (cpu() - start) / float64(time.Since(began).Microseconds())})
}
