package main

import (
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// How long after it was sent a write reaches the handler: the writer puts the time into each ConfigMap.
func latency(o options) error {
	shared, err := factory(o)
	if err != nil {
		return err
	}
	var mutex sync.Mutex
	var took []float64
	var from atomic.Int64
	from.Store(math.MaxInt64)
	_, err = shared.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, obj any) {
			now := time.Now().UnixNano()
			sent, err := strconv.ParseInt(obj.(*corev1.ConfigMap).Data["sent"], 10, 64)
			if err != nil || sent < from.Load() {
				return
			}
			mutex.Lock()
			took = append(took, float64(now-sent)/1e6)
			mutex.Unlock()
		},
	})
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	shared.Start(stop)
	shared.WaitForCacheSync(stop)
	time.Sleep(time.Second)
	from.Store(time.Now().UnixNano())
	start := cpu()
	time.Sleep(seconds(o.seconds))
	spent := cpu() - start
	mutex.Lock()
	defer mutex.Unlock()
	return report(map[string]any{"took": took, "cpu": spent / 1e6 / o.seconds})
}
