package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
)

// What a list by labels costs over all that is cached, in milliseconds, and a lookup by index, in microseconds per object found.
func lister(o options) error {
	shared, err := factory(o)
	if err != nil {
		return err
	}
	pods := shared.Core().V1().Pods()
	err = pods.Informer().AddIndexers(cache.Indexers{"node": func(obj any) ([]string, error) {
		return []string{obj.(*corev1.Pod).Spec.NodeName}, nil
	}})
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	shared.Start(stop)
	shared.WaitForCacheSync(stop)
	const turns = 20
	answer := map[string]any{}
	for _, text := range []string{"app=web-frontend", "app in (web-frontend,search-index),tier!=cache", "no-such-label"} {
		began := cpu()
		for range turns {
			// Compiled each time, as kinformer does.
			selector, err := labels.Parse(text)
			if err != nil {
				return err
			}
			if _, err := pods.Lister().List(selector); err != nil {
				return err
			}
		}
		answer[text] = (cpu() - began) / 1e3 / turns
	}
	found := 0
	began := cpu()
	for range turns {
		for node := range 200 {
			objects, err := pods.Informer().GetIndexer().ByIndex("node", fmt.Sprintf("node-%04d", node))
			if err != nil {
				return err
			}
			found += len(objects)
		}
	}
	answer["index"] = (cpu() - began) / float64(max(found, 1))
	return report(answer)
}
