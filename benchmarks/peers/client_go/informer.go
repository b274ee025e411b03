package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// An informer of pods with the namespace index and one handler: what the first list costs, what it holds in memory, and
// what an event costs.
func informer(o options) error {
	shared, err := factory(o)
	if err != nil {
		return err
	}
	pods := shared.Core().V1().Pods().Informer()
	if o.reads {
		err := pods.AddIndexers(cache.Indexers{"node": func(obj any) ([]string, error) {
			return []string{obj.(*corev1.Pod).Spec.NodeName}, nil
		}})
		if err != nil {
			return err
		}
	}
	return measure(o, pods, shared.Start, func(obj any) {
		pod := obj.(*corev1.Pod)
		if pod.Name == "" || (o.reads && pod.Status.Phase == "") {
			panic("a pod without a name or a phase")
		}
	})
}

// What the first list costs, what it holds in memory, and what an event costs, with a handler that reads.
func measure(o options, informer cache.SharedIndexInformer, run func(<-chan struct{}), read func(any)) error {
	// The handler is called by one goroutine; the counts are read by another.
	var added, updated atomic.Int64
	var began, ended float64
	listed, done := make(chan struct{}), make(chan struct{})
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			read(obj)
			if added.Add(1) == int64(o.objects) {
				close(listed)
			}
		},
		UpdateFunc: func(_, obj any) {
			read(obj)
			switch updated.Add(1) {
			case int64(o.warmUp):
				began = cpu()
			case int64(o.warmUp + o.events):
				ended = cpu()
				close(done)
			}
		},
	})
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	start := cpu()
	run(stop)
	<-listed
	sync := cpu() - start
	before := resident()
	runtime.GC()
	debug.FreeOSMemory()
	held := resident()
	if o.events == 0 {
		return report(map[string]any{"sync": sync, "held": held, "held_before_collection": before})
	}
	browser, err := httpClient(o)
	if err != nil {
		return err
	}
	answer, err := browser.Get(o.url + "/replay/begin")
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		return fmt.Errorf("%d of %d events came", updated.Load(), o.warmUp+o.events)
	}
	return report(map[string]any{
		"sync": sync, "held": held, "held_before_collection": before, "event": (ended - began) / float64(o.events),
	})
}
