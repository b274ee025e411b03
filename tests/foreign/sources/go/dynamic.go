// Checks with the dynamic client, the metadata client and discovery.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// dynamicChecks checks the clients that know no types.
func dynamicChecks(cfg *rest.Config) {
	ns := fmt.Sprintf("go-dyn-%d", time.Now().UnixNano()%1e9)
	j := rest.CopyConfig(cfg)
	j.ContentType = "application/json"
	cs := kubernetes.NewForConfigOrDie(j)
	cs.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	d := dynamic.NewForConfigOrDie(cfg)
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	run("dynamic client: create, informer, metadata informer", func(ctx context.Context) error {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "d1"}, "data": map[string]any{"a": "b"}}}
		if _, err := d.Resource(gvr).Namespace(ns).Create(ctx, u, metav1.CreateOptions{}); err != nil {
			return err
		}
		f := dynamicinformer.NewFilteredDynamicSharedInformerFactory(d, 0, ns, nil)
		i := f.ForResource(gvr).Informer()
		f.Start(ctx.Done())
		c2, c := context.WithTimeout(ctx, 8*time.Second)
		defer c()
		if !cache.WaitForCacheSync(c2.Done(), i.HasSynced) {
			return errors.New("dynamic informer not synced")
		}
		m := metadata.NewForConfigOrDie(cfg)
		mf := metadatainformer.NewFilteredSharedInformerFactory(m, 0, ns, nil)
		mi := mf.ForResource(gvr).Informer()
		mf.Start(ctx.Done())
		if !cache.WaitForCacheSync(c2.Done(), mi.HasSynced) {
			return errors.New("metadata informer not synced")
		}
		return want(len(mi.GetStore().List()) == len(i.GetStore().List()), "%d %d", len(mi.GetStore().List()), len(i.GetStore().List()))
	})
	run("dynamic client: strict field validation refuses an unknown field of a Deployment", func(ctx context.Context) error {
		b, _ := json.Marshal(dep("x"))
		var o map[string]any
		json.Unmarshal(b, &o)
		o["apiVersion"], o["kind"] = "apps/v1", "Deployment"
		o["spec"].(map[string]any)["replicass"] = 3
		_, err := d.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace(ns).Create(ctx, &unstructured.Unstructured{Object: o}, metav1.CreateOptions{FieldValidation: "Strict"})
		return want(apierrors.IsBadRequest(err), "want 400 strict decoding error, got %v", err)
	})
	run("dynamic client: wrong type of a field (replicas: \"two\") refused with 400", func(ctx context.Context) error {
		b, _ := json.Marshal(dep("y"))
		var o map[string]any
		json.Unmarshal(b, &o)
		o["apiVersion"], o["kind"] = "apps/v1", "Deployment"
		o["spec"].(map[string]any)["replicas"] = "two"
		_, err := d.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace(ns).Create(ctx, &unstructured.Unstructured{Object: o}, metav1.CreateOptions{})
		return want(apierrors.IsBadRequest(err), "want 400, got %v", err)
	})
	run("dynamic client: bad quantity refused with 400", func(ctx context.Context) error {
		b, _ := json.Marshal(pod("y"))
		var o map[string]any
		json.Unmarshal(b, &o)
		o["apiVersion"], o["kind"] = "v1", "Pod"
		o["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["resources"] = map[string]any{"requests": map[string]any{"cpu": "lots"}}
		_, err := d.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(ns).Create(ctx, &unstructured.Unstructured{Object: o}, metav1.CreateOptions{})
		return want(apierrors.IsBadRequest(err), "want 400 quantities must match, got %v", err)
	})
	run("dynamic client: unknown field is dropped from what is stored (ConfigMap.nosuch)", func(ctx context.Context) error {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "nosuch": "x", "metadata": map[string]any{"name": "d2"}, "data": map[string]any{"a": "b"}}}
		o, err := d.Resource(gvr).Namespace(ns).Create(ctx, u, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		_, found := o.Object["nosuch"]
		return want(!found, "unknown field stored")
	})
	run("discovery: ServerGroupsAndResources, openapi v2 (proto) and v3 schemas", func(ctx context.Context) error {
		dc := discovery.NewDiscoveryClientForConfigOrDie(cfg)
		if _, _, err := dc.ServerGroupsAndResources(); err != nil {
			return err
		}
		doc, err := dc.OpenAPISchema()
		if err != nil {
			return fmt.Errorf("v2: %w", err)
		}
		if doc.Definitions == nil || len(doc.Definitions.AdditionalProperties) < 100 {
			k := 0
			if doc.Definitions != nil {
				k = len(doc.Definitions.AdditionalProperties)
			}
			return fmt.Errorf("v2 has %d definitions", k)
		}
		p, err := dc.OpenAPIV3().Paths()
		if err != nil {
			return fmt.Errorf("v3: %w", err)
		}
		b, err := p["apis/apps/v1"].Schema("application/json")
		if err != nil {
			return err
		}
		return want(strings.Contains(string(b), "io.k8s.api.apps.v1.DeploymentSpec"), "v3 of apps/v1 has no DeploymentSpec (%d bytes)", len(b))
	})
}
