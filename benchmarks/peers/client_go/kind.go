package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
)

// An informer of any resource: the typed one where there is one, else the dynamic one.
func kind(o options) error {
	parts := strings.Split(o.resource, "/")
	if len(parts) != 3 {
		return fmt.Errorf("-resource %q: expected group/version/plural", o.resource)
	}
	resource := schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]}
	shared, err := factory(o)
	if err != nil {
		return err
	}
	if typed, err := shared.ForResource(resource); err == nil {
		return measure(o, typed.Informer(), shared.Start, readName)
	}
	config := &rest.Config{Host: o.url, TLSClientConfig: rest.TLSClientConfig{CAFile: o.ca}}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	dynamically := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	return measure(o, dynamically.ForResource(resource).Informer(), dynamically.Start, func(obj any) {
		found, _, _ := unstructured.NestedString(obj.(*unstructured.Unstructured).Object, "status", "health", "status")
		if found == "" {
			panic("an object without what the handler reads")
		}
	})
}

func readName(obj any) {
	accessor, err := meta.Accessor(obj)
	if err != nil || accessor.GetName() == "" {
		panic("an object without a name")
	}
}
