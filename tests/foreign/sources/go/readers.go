// Readers of a proxy beside readers of its API server: both must see the same.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	watchtools "k8s.io/client-go/tools/watch"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The namespace of the objects that the readers see.
const readersNamespace = "go-readers"

var (
	podsResource  = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	lampsResource = schema.GroupVersionResource{Group: "readers.example.com", Version: "v1", Resource: "lamps"}
)

// reader is what one client has seen.
type reader struct {
	mutex  sync.Mutex
	events []string
	synced func() bool
	stored func() []string
}

func (r *reader) note(kind string, o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.events = append(r.events, kind+" "+line(o))
}

func (r *reader) seen() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	events := append([]string{}, r.events...)
	return fmt.Sprintf("events %s; store %s", strings.Join(events, ", "), strings.Join(sorted(r.stored()), ", "))
}

func (r *reader) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			// The order of the present objects is free.
			if !initial {
				r.note("added", o)
			}
		},
		UpdateFunc: func(_, o any) { r.note("updated", o) },
		DeleteFunc: func(o any) { r.note("deleted", o) },
	}
}

// of takes what an informer has seen.
func (r *reader) of(i cache.SharedIndexInformer) error {
	registration, err := i.AddEventHandler(r.handler())
	if err != nil {
		return err
	}
	r.synced = registration.HasSynced
	r.stored = func() (lines []string) {
		for _, o := range i.GetStore().List() {
			lines = append(lines, line(o))
		}
		return lines
	}
	return nil
}

// line names an object with all that a client may compare.
func line(o any) string {
	m, err := meta.Accessor(o)
	if err != nil {
		return err.Error()
	}
	kind := ""
	if p, ok := o.(*corev1.Pod); ok {
		kind = string(p.Status.Phase) + p.Spec.NodeName
	}
	if u, ok := o.(*unstructured.Unstructured); ok {
		kind = u.GetAPIVersion() + " " + u.GetKind() + fmt.Sprint(u.Object["spec"])
	}
	return fmt.Sprintf("%s@%s %v %s", m.GetName(), m.GetResourceVersion(), m.GetLabels(), kind)
}

func sorted(lines []string) []string {
	sort.Strings(lines)
	return lines
}

// readerChecks compares readers of two addresses of one API server.
func readerChecks(server, proxy *rest.Config) {
	for _, cfg := range []*rest.Config{server, proxy} {
		cfg.QPS, cfg.Burst = 1000, 1000
	}
	prefix = "readers: "
	cs := kubernetes.NewForConfigOrDie(server)
	lamps := dynamic.NewForConfigOrDie(server).Resource(lampsResource).Namespace(readersNamespace)
	lamp := func(name string, watts int64) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "readers.example.com/v1", "kind": "Lamp",
			"metadata": map[string]any{"name": name, "labels": map[string]any{"room": "hall"}}, "spec": map[string]any{"watts": watts}}}
	}
	number := 0
	// Each call makes, changes, moves out of the selection, moves back and deletes a Pod and a Lamp.
	change := func(ctx context.Context) error {
		number++
		name := fmt.Sprintf("p%d", number)
		pods := cs.CoreV1().Pods(readersNamespace)
		if _, err := pods.Create(ctx, pod(name), metav1.CreateOptions{}); err != nil {
			return err
		}
		if _, err := lamps.Create(ctx, lamp(name, 5), metav1.CreateOptions{}); err != nil {
			return err
		}
		for _, patch := range []string{`{"metadata":{"labels":{"more":"1"}}}`, `{"metadata":{"labels":{"app":"y","room":"attic"}}}`, `{"metadata":{"labels":{"app":"x","room":"hall"}}}`} {
			if _, err := pods.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				return err
			}
			if _, err := lamps.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				return err
			}
		}
		if _, err := pods.Patch(ctx, name, types.MergePatchType, []byte(`{"status":{"phase":"Running"}}`), metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
		now := int64(0)
		if err := pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
			return err
		}
		return lamps.Delete(ctx, name, metav1.DeleteOptions{})
	}
	run("the objects are made", func(ctx context.Context) error {
		namespaces := cs.CoreV1().Namespaces()
		if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: readersNamespace}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		for i := 0; i < 50; i++ {
			if _, err := cs.CoreV1().ServiceAccounts(readersNamespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err == nil || apierrors.IsAlreadyExists(err) {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		for i := 0; i < 7; i++ {
			p := pod(fmt.Sprintf("present-%d", i))
			if i%2 == 1 {
				p.Spec.NodeName = "n1"
			}
			if _, err := cs.CoreV1().Pods(readersNamespace).Create(ctx, p, metav1.CreateOptions{}); err != nil {
				return err
			}
			if _, err := lamps.Create(ctx, lamp(p.Name, 40), metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	// watched compares informers while objects change.
	watched := func(name string, open func(ctx context.Context, cfg *rest.Config, r *reader) error) {
		run(name, func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			direct, through := &reader{}, &reader{}
			for r, cfg := range map[*reader]*rest.Config{direct: server, through: proxy} {
				if err := open(ctx, cfg, r); err != nil {
					return err
				}
			}
			limit, stop := context.WithTimeout(ctx, 8*time.Second)
			defer stop()
			if !cache.WaitForCacheSync(limit.Done(), direct.synced) {
				return errors.New("no sync with the server")
			}
			if !cache.WaitForCacheSync(limit.Done(), through.synced) {
				return errors.New("no sync with the proxy")
			}
			if err := change(ctx); err != nil {
				return err
			}
			for i := 0; i < 80; i++ {
				time.Sleep(100 * time.Millisecond)
				if len(direct.events) > 0 && direct.seen() == through.seen() {
					// Another one would be one too many.
					time.Sleep(100 * time.Millisecond)
					break
				}
			}
			if len(direct.events) == 0 {
				return errors.New("no events")
			}
			return want(direct.seen() == through.seen(), "server: %s; proxy: %s", direct.seen(), through.seen())
		})
	}
	// answered compares single answers.
	answered := func(name string, ask func(ctx context.Context, cfg *rest.Config) (string, error)) {
		run(name, func(ctx context.Context) error {
			direct, err := ask(ctx, server)
			if err != nil {
				return fmt.Errorf("server: %w", err)
			}
			through, err := ask(ctx, proxy)
			if err != nil {
				return fmt.Errorf("proxy: %w", err)
			}
			return want(direct == through, "server: %s; proxy: %s", direct, through)
		})
	}
	typed := func(content string, tweak func(*metav1.ListOptions)) func(context.Context, *rest.Config, *reader) error {
		return func(ctx context.Context, cfg *rest.Config, r *reader) error {
			cfg = rest.CopyConfig(cfg)
			cfg.ContentType = content
			f := informers.NewSharedInformerFactoryWithOptions(kubernetes.NewForConfigOrDie(cfg), 0, informers.WithNamespace(readersNamespace), informers.WithTweakListOptions(tweak))
			i := f.Core().V1().Pods().Informer()
			f.Start(ctx.Done())
			return r.of(i)
		}
	}
	none := func(*metav1.ListOptions) {}
	watched("informer of pods, streaming list", typed("application/json", none))
	watched("informer of pods, protobuf first", typed("application/vnd.kubernetes.protobuf", none))
	watched("informer of pods with a label selector", typed("application/json", func(o *metav1.ListOptions) { o.LabelSelector = "app in (x),more!=2" }))
	watched("informer of pods with a field selector", typed("application/json", func(o *metav1.ListOptions) { o.FieldSelector = "status.phase!=Running,spec.nodeName!=n1" }))
	watched("informer of pods, list and watch", func(ctx context.Context, cfg *rest.Config, r *reader) error {
		return r.of(startedPlain(ctx, cfg))
	})
	watched("dynamic informer of pods in all namespaces", func(ctx context.Context, cfg *rest.Config, r *reader) error {
		f := dynamicinformer.NewDynamicSharedInformerFactory(dynamic.NewForConfigOrDie(cfg), 0)
		i := f.ForResource(podsResource).Informer()
		f.Start(ctx.Done())
		return r.of(i)
	})
	watched("dynamic informer of a custom resource", func(ctx context.Context, cfg *rest.Config, r *reader) error {
		f := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dynamic.NewForConfigOrDie(cfg), 0, readersNamespace, nil)
		i := f.ForResource(lampsResource).Informer()
		f.Start(ctx.Done())
		return r.of(i)
	})
	watched("dynamic informer of a custom resource with a label selector", func(ctx context.Context, cfg *rest.Config, r *reader) error {
		f := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dynamic.NewForConfigOrDie(cfg), 0, readersNamespace, func(o *metav1.ListOptions) { o.LabelSelector = "room=hall" })
		i := f.ForResource(lampsResource).Informer()
		f.Start(ctx.Done())
		return r.of(i)
	})
	watched("metadata informer", func(ctx context.Context, cfg *rest.Config, r *reader) error {
		f := metadatainformer.NewFilteredSharedInformerFactory(metadata.NewForConfigOrDie(cfg), 0, readersNamespace, nil)
		i := f.ForResource(podsResource).Informer()
		f.Start(ctx.Done())
		return r.of(i)
	})
	watched("controller-runtime: cache of pods by label", func(ctx context.Context, cfg *rest.Config, r *reader) error {
		return runtimeCache(ctx, cfg, r, &corev1.Pod{}, client.ObjectList(&corev1.PodList{}))
	})
	watched("controller-runtime: cache of a custom resource", func(ctx context.Context, cfg *rest.Config, r *reader) error {
		o, l := &unstructured.Unstructured{}, &unstructured.UnstructuredList{}
		o.SetGroupVersionKind(lampsResource.GroupVersion().WithKind("Lamp"))
		l.SetGroupVersionKind(lampsResource.GroupVersion().WithKind("LampList"))
		return runtimeCache(ctx, cfg, r, o, l)
	})
	watched("RetryWatcher", func(ctx context.Context, cfg *rest.Config, r *reader) error {
		pods := kubernetes.NewForConfigOrDie(cfg).CoreV1().Pods(readersNamespace)
		l, err := pods.List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		w, err := watchtools.NewRetryWatcherWithContext(ctx, l.ResourceVersion, &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return pods.Watch(ctx, o)
		}})
		if err != nil {
			return err
		}
		r.synced, r.stored = func() bool { return true }, func() []string { return nil }
		go func() {
			for e := range w.ResultChan() {
				r.note(string(e.Type), e.Object)
			}
		}()
		return nil
	})
	for name, options := range map[string]metav1.ListOptions{
		"plain":           {},
		"version 0":       {ResourceVersion: "0"},
		"label selectors": {LabelSelector: "app=x,!more"},
		"a field":         {FieldSelector: "spec.nodeName=n1"},
		"a name":          {FieldSelector: "metadata.name=present-3"},
	} {
		answered("list of pods, "+name, func(ctx context.Context, cfg *rest.Config) (string, error) {
			l, err := kubernetes.NewForConfigOrDie(cfg).CoreV1().Pods(readersNamespace).List(ctx, options)
			if err != nil {
				return "", err
			}
			lines := []string{l.Continue}
			for _, p := range l.Items {
				lines = append(lines, line(&p))
			}
			return strings.Join(lines, ", "), nil
		})
	}
	answered("list of pods in pages", func(ctx context.Context, cfg *rest.Config) (string, error) {
		pods := kubernetes.NewForConfigOrDie(cfg).CoreV1().Pods(readersNamespace)
		p := pager.New(pager.SimplePageFunc(func(o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) }))
		p.PageSize = 2
		var lines []string
		err := p.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
			lines = append(lines, line(o))
			return nil
		})
		return strings.Join(lines, ", "), err
	})
	for resource, path := range map[string]string{"pods": "/api/v1/namespaces/" + readersNamespace + "/pods", "a custom resource": "/apis/readers.example.com/v1/namespaces/" + readersNamespace + "/lamps"} {
		for _, selector := range []string{"", "?labelSelector=app%3Dx", "/present-2", "?includeObject=Object"} {
			answered("table of "+resource+" "+selector, func(ctx context.Context, cfg *rest.Config) (string, error) {
				b, err := kubernetes.NewForConfigOrDie(cfg).RESTClient().Get().RequestURI(path+selector).
					SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json").DoRaw(ctx)
				return tableText(b), err
			})
		}
	}
	run("a watch from before the kept changes of the proxy is expired", func(ctx context.Context) error {
		w, err := kubernetes.NewForConfigOrDie(proxy).CoreV1().Pods(readersNamespace).Watch(ctx, metav1.ListOptions{ResourceVersion: "1"})
		if err != nil {
			return err
		}
		defer w.Stop()
		e := <-w.ResultChan()
		return want(e.Type == watch.Error && apierrors.IsResourceExpired(apierrors.FromObject(e.Object)), "%v", e)
	})
	answered("a list of a version of the future", func(ctx context.Context, cfg *rest.Config) (string, error) {
		o := metav1.ListOptions{ResourceVersion: "99999999", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}
		err := kubernetes.NewForConfigOrDie(cfg).CoreV1().RESTClient().Get().Namespace(readersNamespace).Resource("pods").VersionedParams(&o, metav1.ParameterCodec).MaxRetries(0).Do(ctx).Error()
		return fmt.Sprint(apierrors.IsTimeout(err), apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge), apierrors.ReasonForError(err)), nil
	})
	for name, options := range map[string]metav1.ListOptions{
		"a label selector":                       {LabelSelector: "a=("},
		"a field that cannot be selected by":     {FieldSelector: "spec.nosuch=1"},
		"a continue token":                       {Continue: "x"},
		"an exact match without a version":       {ResourceVersionMatch: metav1.ResourceVersionMatchExact},
		"a version that is no number":            {ResourceVersion: "x"},
		"a version with a match of another sort": {ResourceVersion: "1", ResourceVersionMatch: "Nearly"},
	} {
		answered("a list is refused for "+name, func(ctx context.Context, cfg *rest.Config) (string, error) {
			_, err := kubernetes.NewForConfigOrDie(cfg).CoreV1().Pods(readersNamespace).List(ctx, options)
			return fmt.Sprint(err), nil
		})
	}
	answered("bookmarks: the one after the present objects", func(ctx context.Context, cfg *rest.Config) (string, error) {
		yes := true
		w, err := kubernetes.NewForConfigOrDie(cfg).CoreV1().Pods(readersNamespace).Watch(ctx, metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true})
		if err != nil {
			return "", err
		}
		defer w.Stop()
		var lines []string
		for e := range w.ResultChan() {
			p, ok := e.Object.(*corev1.Pod)
			if !ok {
				return "", apierrors.FromObject(e.Object)
			}
			if e.Type == watch.Bookmark {
				return strings.Join(sorted(lines), ", ") + fmt.Sprint(p.Annotations), nil
			}
			lines = append(lines, string(e.Type)+" "+line(p))
		}
		return "", errors.New("the watch ends")
	})
	answered("a watch ends after timeoutSeconds", func(ctx context.Context, cfg *rest.Config) (string, error) {
		one := int64(1)
		w, err := kubernetes.NewForConfigOrDie(cfg).CoreV1().Pods(readersNamespace).Watch(ctx, metav1.ListOptions{TimeoutSeconds: &one, FieldSelector: fields.OneTermEqualSelector("metadata.name", "present-1").String()})
		if err != nil {
			return "", err
		}
		var lines []string
		for e := range w.ResultChan() {
			lines = append(lines, string(e.Type)+" "+line(e.Object))
		}
		return strings.Join(lines, ", "), nil
	})
	answered("get of a pod, and of one that is not there", func(ctx context.Context, cfg *rest.Config) (string, error) {
		pods := kubernetes.NewForConfigOrDie(cfg).CoreV1().Pods(readersNamespace)
		p, err := pods.Get(ctx, "present-1", metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		_, err = pods.Get(ctx, "nosuch", metav1.GetOptions{})
		return line(p) + fmt.Sprint(err), nil
	})
	answered("discovery", func(ctx context.Context, cfg *rest.Config) (string, error) {
		_, l, err := kubernetes.NewForConfigOrDie(cfg).Discovery().ServerGroupsAndResources()
		return fmt.Sprint(len(l)), err
	})
	run("writes through the proxy are forbidden", func(ctx context.Context) error {
		_, err := kubernetes.NewForConfigOrDie(proxy).CoreV1().Pods(readersNamespace).Create(ctx, pod("no"), metav1.CreateOptions{})
		return want(apierrors.IsForbidden(err), "%v", err)
	})
}

// plain is a ListWatch that asks for no streaming list.
type plain struct{ *cache.ListWatch }

func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func startedPlain(ctx context.Context, cfg *rest.Config) cache.SharedIndexInformer {
	lw := cache.NewFilteredListWatchFromClient(kubernetes.NewForConfigOrDie(cfg).CoreV1().RESTClient(), "pods", readersNamespace, func(*metav1.ListOptions) {})
	i := cache.NewSharedIndexInformer(plain{lw}, &corev1.Pod{}, 0, cache.Indexers{})
	go i.Run(ctx.Done())
	return i
}

// runtimeCache takes what a cache of controller-runtime has seen.
func runtimeCache(ctx context.Context, cfg *rest.Config, r *reader, o client.Object, l client.ObjectList) error {
	c, err := crcache.New(cfg, crcache.Options{Scheme: scheme(), DefaultNamespaces: map[string]crcache.Config{readersNamespace: {}}})
	if err != nil {
		return err
	}
	i, err := c.GetInformer(ctx, o)
	if err != nil {
		return err
	}
	go c.Start(ctx)
	registration, err := i.AddEventHandler(r.handler())
	if err != nil {
		return err
	}
	r.synced = registration.HasSynced
	r.stored = func() (lines []string) {
		if err := c.List(context.Background(), l, client.InNamespace(readersNamespace)); err != nil {
			return []string{err.Error()}
		}
		found, err := meta.ExtractList(l)
		if err != nil {
			return []string{err.Error()}
		}
		for _, o := range found {
			lines = append(lines, line(o))
		}
		return lines
	}
	return nil
}

// lampsDefinition is that of the custom resource.
func lampsDefinition() *apiextv1.CustomResourceDefinition {
	yes := true
	return &apiextv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "lamps.readers.example.com"}, Spec: apiextv1.CustomResourceDefinitionSpec{Group: lampsResource.Group, Scope: "Namespaced",
		Names: apiextv1.CustomResourceDefinitionNames{Plural: "lamps", Singular: "lamp", Kind: "Lamp", ListKind: "LampList"},
		Versions: []apiextv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true,
			AdditionalPrinterColumns: []apiextv1.CustomResourceColumnDefinition{{Name: "Watts", Type: "integer", JSONPath: ".spec.watts"}, {Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"}},
			Schema:                   &apiextv1.CustomResourceValidation{OpenAPIV3Schema: &apiextv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &yes}}}}}}
}

// defineLamps defines the custom resource, and waits until it is served.
func defineLamps(server *rest.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := apiextclient.NewForConfigOrDie(server).ApiextensionsV1().CustomResourceDefinitions().Create(ctx, lampsDefinition(), metav1.CreateOptions{}); err != nil {
		return err
	}
	for {
		if _, err := dynamic.NewForConfigOrDie(server).Resource(lampsResource).List(ctx, metav1.ListOptions{}); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// tableText is a table without the ages in its cells.
func tableText(body []byte) string {
	var found metav1.Table
	if err := json.Unmarshal(body, &found); err != nil {
		return string(body)
	}
	lines := []string{found.Kind, found.APIVersion}
	ages := map[int]bool{}
	for i, column := range found.ColumnDefinitions {
		lines = append(lines, fmt.Sprintf("%s %s %s %d %q", column.Name, column.Type, column.Format, column.Priority, column.Description))
		ages[i] = column.Name == "Age"
	}
	for _, row := range found.Rows {
		for i, cell := range row.Cells {
			if !ages[i] {
				lines = append(lines, fmt.Sprintf("%v", cell))
			}
		}
		lines = append(lines, string(row.Object.Raw))
	}
	return strings.Join(lines, "|")
}
