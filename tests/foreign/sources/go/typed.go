// Checks with the typed client.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	authzv1 "k8s.io/api/authorization/v1"
	autov1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/tools/record"
	watchtools "k8s.io/client-go/tools/watch"
	"k8s.io/client-go/util/retry"
)

// typed checks one content type.
func typed(form string, cfg *rest.Config) {
	cs := kubernetes.NewForConfigOrDie(cfg)
	ns := fmt.Sprintf("go-%s-%d", form, time.Now().UnixNano()%1e9)
	run("create namespace", func(ctx context.Context) error {
		_, err := cs.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
		return err
	})
	run("default ServiceAccount and kube-root-ca.crt appear in 2 s", func(ctx context.Context) error {
		for i := 0; i < 20; i++ {
			if _, err := cs.CoreV1().ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{}); err == nil {
				return nil
			}
			time.Sleep(100 * time.Millisecond)
		}
		return errors.New("no default ServiceAccount")
	})
	run("create, get, update, conflict on old version", func(ctx context.Context) error {
		c, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, cm("c1"), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		old := c.DeepCopy()
		c.Data["a"] = "2"
		if _, err = cs.CoreV1().ConfigMaps(ns).Update(ctx, c, metav1.UpdateOptions{}); err != nil {
			return err
		}
		_, err = cs.CoreV1().ConfigMaps(ns).Update(ctx, old, metav1.UpdateOptions{})
		return want(apierrors.IsConflict(err), "want conflict, got %v", err)
	})
	run("AlreadyExists, NotFound, Invalid recognised", func(ctx context.Context) error {
		cs.CoreV1().ConfigMaps(ns).Create(ctx, cm("dup"), metav1.CreateOptions{})
		_, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, cm("dup"), metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("dup: %v", err)
		}
		_, err = cs.CoreV1().ConfigMaps(ns).Get(ctx, "nosuch", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("get: %v", err)
		}
		_, err = cs.CoreV1().ConfigMaps(ns).Create(ctx, cm("Bad_Name"), metav1.CreateOptions{})
		return want(apierrors.IsInvalid(err), "bad name: %v", err)
	})
	run("create Deployment is defaulted; generateName; dry-run", func(ctx context.Context) error {
		d, err := cs.AppsV1().Deployments(ns).Create(ctx, dep("web"), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if d.Spec.Strategy.Type != "RollingUpdate" || d.Spec.Template.Spec.RestartPolicy != "Always" || d.Generation != 1 || d.Spec.ProgressDeadlineSeconds == nil {
			return fmt.Errorf("not defaulted: %+v", d.Spec)
		}
		p, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "gen-"}}, metav1.CreateOptions{DryRun: []string{"All"}})
		if err != nil {
			return err
		}
		if !strings.HasPrefix(p.Name, "gen-") {
			return fmt.Errorf("name %q", p.Name)
		}
		_, err = cs.CoreV1().ConfigMaps(ns).Get(ctx, p.Name, metav1.GetOptions{})
		return want(apierrors.IsNotFound(err), "dry run was stored: %v", err)
	})
	run("fieldValidation=Strict (typed, dry run, unknown is impossible) ok", func(ctx context.Context) error {
		_, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, cm("strict"), metav1.CreateOptions{FieldValidation: "Strict"})
		return err
	})
	run("patches: strategic, merge, json", func(ctx context.Context) error {
		if _, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, cm("pt"), metav1.CreateOptions{}); err != nil {
			return err
		}
		for k, v := range map[types.PatchType]string{types.StrategicMergePatchType: `{"data":{"s":"1"}}`, types.MergePatchType: `{"data":{"m":"1"}}`, types.JSONPatchType: `[{"op":"add","path":"/data/j","value":"1"}]`} {
			if _, err := cs.CoreV1().ConfigMaps(ns).Patch(ctx, "pt", k, []byte(v), metav1.PatchOptions{}); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
		return nil
	})
	run("server-side apply: Apply(), conflict between managers, force", func(ctx context.Context) error {
		a := applycore.ConfigMap("ssa", ns).WithData(map[string]string{"k": "1"})
		if _, err := cs.CoreV1().ConfigMaps(ns).Apply(ctx, a, metav1.ApplyOptions{FieldManager: "one"}); err != nil {
			return err
		}
		b := applycore.ConfigMap("ssa", ns).WithData(map[string]string{"k": "2"})
		_, err := cs.CoreV1().ConfigMaps(ns).Apply(ctx, b, metav1.ApplyOptions{FieldManager: "two"})
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("want conflict, got %v", err)
		}
		o, err := cs.CoreV1().ConfigMaps(ns).Apply(ctx, b, metav1.ApplyOptions{FieldManager: "two", Force: true})
		if err != nil {
			return err
		}
		if _, err := applycore.ExtractConfigMap(o, "two"); err != nil {
			return fmt.Errorf("extract: %w", err)
		}
		// one gives up its field: with a set of nothing, key k stays because two owns it
		c := applycore.ConfigMap("ssa", ns)
		o, err = cs.CoreV1().ConfigMaps(ns).Apply(ctx, c, metav1.ApplyOptions{FieldManager: "two"})
		if err != nil {
			return err
		}
		return want(len(o.Data) == 0, "fields given up are still there: %v %v", o.Data, o.ManagedFields)
	})
	run("extract a Deployment's apply configuration (associative lists)", func(ctx context.Context) error {
		a := applyapps.Deployment("ssad", ns).WithSpec(applyapps.DeploymentSpec().WithReplicas(1).
			WithSelector(applymeta.LabelSelector().WithMatchLabels(map[string]string{"a": "b"})).
			WithTemplate(applycore.PodTemplateSpec().WithLabels(map[string]string{"a": "b"}).WithSpec(applycore.PodSpec().
				WithContainers(applycore.Container().WithName("x").WithImage("i").WithPorts(applycore.ContainerPort().WithContainerPort(80)).WithEnv(applycore.EnvVar().WithName("A").WithValue("1")),
					applycore.Container().WithName("y").WithImage("j")))))
		o, err := cs.AppsV1().Deployments(ns).Apply(ctx, a, metav1.ApplyOptions{FieldManager: "m"})
		if err != nil {
			return err
		}
		x, err := applyapps.ExtractDeployment(o, "m")
		if err != nil {
			return err
		}
		if len(x.Spec.Template.Spec.Containers) != 2 || len(x.Spec.Template.Spec.Containers[0].Env) != 1 {
			return fmt.Errorf("extracted %d containers", len(x.Spec.Template.Spec.Containers))
		}
		a.Spec.Template.Spec.Containers = a.Spec.Template.Spec.Containers[:1]
		a.Spec.Template.Spec.Containers[0].Env = nil
		o, err = cs.AppsV1().Deployments(ns).Apply(ctx, a, metav1.ApplyOptions{FieldManager: "m"})
		if err != nil {
			return err
		}
		return want(len(o.Spec.Template.Spec.Containers) == 1 && len(o.Spec.Template.Spec.Containers[0].Env) == 0, "not removed: %+v", o.Spec.Template.Spec.Containers)
	})
	run("apply status subresource", func(ctx context.Context) error {
		s := applyapps.Deployment("ssad", ns).WithStatus(applyapps.DeploymentStatus().WithReplicas(1).WithConditions(applyapps.DeploymentCondition().WithType("Available").WithStatus("True").WithReason("r").WithMessage("m")))
		o, err := cs.AppsV1().Deployments(ns).ApplyStatus(ctx, s, metav1.ApplyOptions{FieldManager: "m"})
		if err != nil {
			return err
		}
		return want(o.Status.Replicas == 1 && len(o.Status.Conditions) == 1, "%+v", o.Status)
	})
	run("status subresource: main update leaves status, UpdateStatus leaves spec", func(ctx context.Context) error {
		d, err := cs.AppsV1().Deployments(ns).Create(ctx, dep("sub"), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		d.Status.Replicas = 7
		r := int32(9)
		d.Spec.Replicas = &r
		d, err = cs.AppsV1().Deployments(ns).UpdateStatus(ctx, d, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		if *d.Spec.Replicas != 2 || d.Status.Replicas != 7 {
			return fmt.Errorf("after UpdateStatus %d %d", *d.Spec.Replicas, d.Status.Replicas)
		}
		d.Status.Replicas = 1
		d.Spec.Replicas = &r
		d, err = cs.AppsV1().Deployments(ns).Update(ctx, d, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		return want(*d.Spec.Replicas == 9 && d.Status.Replicas == 7 && d.Generation == 2, "%d %d %d", *d.Spec.Replicas, d.Status.Replicas, d.Generation)
	})
	run("scale subresource: GetScale, UpdateScale", func(ctx context.Context) error {
		s, err := cs.AppsV1().Deployments(ns).GetScale(ctx, "sub", metav1.GetOptions{})
		if err != nil {
			return err
		}
		s.Spec.Replicas = 3
		s, err = cs.AppsV1().Deployments(ns).UpdateScale(ctx, "sub", s, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		_ = autov1.Scale{}
		return want(s.Spec.Replicas == 3, "%d", s.Spec.Replicas)
	})
	run("pods/eviction", func(ctx context.Context) error {
		if _, err := cs.CoreV1().Pods(ns).Create(ctx, pod("ev"), metav1.CreateOptions{}); err != nil {
			return err
		}
		return cs.PolicyV1().Evictions(ns).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "ev", Namespace: ns}})
	})
	run("eviction refused by a PodDisruptionBudget (429)", func(ctx context.Context) error {
		if _, err := cs.CoreV1().Pods(ns).Create(ctx, pod("ev2"), metav1.CreateOptions{}); err != nil {
			return err
		}
		p, _ := cs.CoreV1().Pods(ns).Get(ctx, "ev2", metav1.GetOptions{})
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: "Ready", Status: "True"}}
		if _, err := cs.CoreV1().Pods(ns).UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
			return err
		}
		b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}}}
		if _, err := cs.PolicyV1().PodDisruptionBudgets(ns).Create(ctx, b, metav1.CreateOptions{}); err != nil {
			return err
		}
		err := cs.PolicyV1().Evictions(ns).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "ev2", Namespace: ns}})
		return want(apierrors.IsTooManyRequests(err), "want 429, got %v", err)
	})
	run("pods/binding sets nodeName", func(ctx context.Context) error {
		if _, err := cs.CoreV1().Pods(ns).Create(ctx, pod("bind"), metav1.CreateOptions{}); err != nil {
			return err
		}
		err := cs.CoreV1().Pods(ns).Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "bind"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		p, err := cs.CoreV1().Pods(ns).Get(ctx, "bind", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return want(p.Spec.NodeName == "n1", "nodeName %q", p.Spec.NodeName)
	})
	run("pods/log is text or an error, not the pod", func(ctx context.Context) error {
		b, err := cs.CoreV1().Pods(ns).GetLogs("bind", &corev1.PodLogOptions{}).DoRaw(ctx)
		if err != nil {
			return nil
		}
		return want(!strings.Contains(string(b), `"kind":"Pod"`), "log is %.60s", b)
	})
	run("pods/ephemeralcontainers", func(ctx context.Context) error {
		p, err := cs.CoreV1().Pods(ns).Get(ctx, "bind", metav1.GetOptions{})
		if err != nil {
			return err
		}
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "dbg", Image: "b"}})
		p, err = cs.CoreV1().Pods(ns).UpdateEphemeralContainers(ctx, "bind", p, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		return want(len(p.Spec.EphemeralContainers) == 1, "%v", p.Spec.EphemeralContainers)
	})
	run("pods/resize", func(ctx context.Context) error {
		p, err := cs.CoreV1().Pods(ns).Get(ctx, "bind", metav1.GetOptions{})
		if err != nil {
			return err
		}
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("1")}
		_, err = cs.CoreV1().Pods(ns).UpdateResize(ctx, "bind", p, metav1.UpdateOptions{})
		if apierrors.IsInvalid(err) {
			return nil // QOS class may not change: a real server says so
		}
		return err
	})
	run("serviceaccounts/token (TokenRequest)", func(ctx context.Context) error {
		if _, err := cs.CoreV1().ServiceAccounts(ns).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa"}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		r, err := cs.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "sa", &authv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return want(r.Status.Token != "", "no token")
	})
	run("SelfSubjectAccessReview", func(ctx context.Context) error {
		r, err := cs.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authzv1.SelfSubjectAccessReview{Spec: authzv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authzv1.ResourceAttributes{Verb: "create", Resource: "pods", Namespace: ns}}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return want(r.Status.Allowed, "%+v", r.Status)
	})
	run("SubjectAccessReview, SelfSubjectRulesReview, SelfSubjectReview, TokenReview", func(ctx context.Context) error {
		var errs []string
		if _, err := cs.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{User: "joe", ResourceAttributes: &authzv1.ResourceAttributes{Verb: "get", Resource: "pods"}}}, metav1.CreateOptions{}); err != nil {
			errs = append(errs, "SAR: "+err.Error())
		}
		if _, err := cs.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authzv1.SelfSubjectRulesReview{Spec: authzv1.SelfSubjectRulesReviewSpec{Namespace: ns}}, metav1.CreateOptions{}); err != nil {
			errs = append(errs, "SSRR: "+err.Error())
		}
		if r, err := cs.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authv1.SelfSubjectReview{}, metav1.CreateOptions{}); err != nil {
			errs = append(errs, "SSR: "+err.Error())
		} else if r.Status.UserInfo.Username == "" {
			errs = append(errs, "SSR: no user")
		}
		if _, err := cs.AuthenticationV1().TokenReviews().Create(ctx, &authv1.TokenReview{Spec: authv1.TokenReviewSpec{Token: "x"}}, metav1.CreateOptions{}); err != nil {
			errs = append(errs, "TR: "+err.Error())
		}
		return want(len(errs) == 0, "%s", strings.Join(errs, " ; "))
	})
	run("list with limit/continue (pager), resourceVersion=0", func(ctx context.Context) error {
		for i := 0; i < 25; i++ {
			if _, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, cm(fmt.Sprintf("pg-%02d", i)), metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		p := pager.New(pager.SimplePageFunc(func(o metav1.ListOptions) (runtime.Object, error) { return cs.CoreV1().ConfigMaps(ns).List(ctx, o) }))
		p.PageSize = 7
		count := 0
		err := p.EachListItem(ctx, metav1.ListOptions{}, func(runtime.Object) error { count++; return nil })
		if err != nil {
			return err
		}
		l, err := cs.CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		return want(count == len(l.Items), "pager %d list %d", count, len(l.Items))
	})
	run("watch one object by fieldSelector metadata.name", func(ctx context.Context) error {
		w, err := cs.CoreV1().ConfigMaps(ns).Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "c1").String()})
		if err != nil {
			return err
		}
		defer w.Stop()
		cs.CoreV1().ConfigMaps(ns).Patch(ctx, "pt", types.MergePatchType, []byte(`{"data":{"q":"9"}}`), metav1.PatchOptions{})
		cs.CoreV1().ConfigMaps(ns).Patch(ctx, "c1", types.MergePatchType, []byte(`{"data":{"q":"9"}}`), metav1.PatchOptions{})
		var got []string
		for {
			select {
			case e := <-w.ResultChan():
				m, ok := e.Object.(*corev1.ConfigMap)
				if !ok {
					return fmt.Errorf("%s %T %v", e.Type, e.Object, e.Object)
				}
				got = append(got, string(e.Type)+" "+m.Name)
				if m.Data["q"] == "9" {
					return want(len(got) == 2, "%v", got)
				}
			case <-ctx.Done():
				return fmt.Errorf("only %v", got)
			}
		}
	})
	run("watchtools.UntilWithSync, RetryWatcher", func(ctx context.Context) error {
		w, err := watchtools.NewRetryWatcherWithContext(ctx, "1", &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return cs.CoreV1().ConfigMaps(ns).Watch(ctx, o)
		}})
		if err != nil {
			return err
		}
		defer w.Stop()
		select {
		case e := <-w.ResultChan():
			if e.Type == watch.Error {
				return apierrors.FromObject(e.Object)
			}
			return nil
		case <-ctx.Done():
			return errors.New("no event")
		}
	})
	run("shared informers: pods, configmaps, deployments sync and follow", func(ctx context.Context) error {
		f := informers.NewSharedInformerFactoryWithOptions(cs, 0, informers.WithNamespace(ns))
		var adds, upds, dels atomic.Int32
		i := f.Core().V1().ConfigMaps().Informer()
		i.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { adds.Add(1) }, UpdateFunc: func(any, any) { upds.Add(1) }, DeleteFunc: func(any) { dels.Add(1) }})
		f.Core().V1().Pods().Informer()
		f.Apps().V1().Deployments().Informer()
		stop := make(chan struct{})
		defer close(stop)
		f.Start(stop)
		c2, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		for k, ok := range f.WaitForCacheSync(c2.Done()) {
			if !ok {
				return fmt.Errorf("%v not synced", k)
			}
		}
		if _, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, cm("inf"), metav1.CreateOptions{}); err != nil {
			return err
		}
		cs.CoreV1().ConfigMaps(ns).Patch(ctx, "inf", types.MergePatchType, []byte(`{"data":{"q":"9"}}`), metav1.PatchOptions{})
		cs.CoreV1().ConfigMaps(ns).Delete(ctx, "inf", metav1.DeleteOptions{})
		for k := 0; k < 50 && dels.Load() == 0; k++ {
			time.Sleep(50 * time.Millisecond)
		}
		return want(upds.Load() >= 1 && dels.Load() == 1, "adds %d updates %d deletes %d", adds.Load(), upds.Load(), dels.Load())
	})
	run("leader election (Lease)", func(ctx context.Context) error {
		lock, err := resourcelock.New("leases", ns, "lead", cs.CoreV1(), cs.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: "me"})
		if err != nil {
			return err
		}
		c2, cancel := context.WithCancel(ctx)
		defer cancel()
		led := make(chan bool, 1)
		go leaderelection.RunOrDie(c2, leaderelection.LeaderElectionConfig{Lock: lock, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 300 * time.Millisecond, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { led <- true }, OnStoppedLeading: func() {}}})
		select {
		case <-led:
		case <-time.After(8 * time.Second):
			return errors.New("never led")
		}
		time.Sleep(time.Second)
		l, err := cs.CoordinationV1().Leases(ns).Get(ctx, "lead", metav1.GetOptions{})
		if err != nil {
			return err
		}
		_ = coordv1.Lease{}
		return want(l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity == "me", "%v", l.Spec)
	})
	run("events: EventRecorder, correlation patch", func(ctx context.Context) error {
		b := record.NewBroadcaster()
		rec := b.NewRecorder(scheme(), corev1.EventSource{Component: "me"})
		_ = rec
		ev := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e1", Namespace: ns}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "p"}, Reason: "R", Message: "m", Type: "Normal", Count: 1}
		e, err := cs.CoreV1().Events(ns).CreateWithEventNamespace(ev)
		if err != nil {
			return err
		}
		if _, err = cs.CoreV1().Events(ns).PatchWithEventNamespace(e, []byte(`{"count":2}`)); err != nil {
			return err
		}
		l, err := cs.CoreV1().Events(ns).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=p,reason=R,type=Normal"})
		if err != nil {
			return err
		}
		if len(l.Items) != 1 {
			return fmt.Errorf("%d events", len(l.Items))
		}
		v1l, err := cs.EventsV1().Events(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		return want(len(v1l.Items) == 1 && v1l.Items[0].Regarding.Name == "p", "events.k8s.io shows %d", len(v1l.Items))
	})
	run("finalizers: delete marks, removal deletes; preconditions uid", func(ctx context.Context) error {
		c := cm("fin")
		c.Finalizers = []string{"example.com/x"}
		c, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, c, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		wrong := types.UID("nope")
		err = cs.CoreV1().ConfigMaps(ns).Delete(ctx, "fin", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("wrong uid: %v", err)
		}
		if err = cs.CoreV1().ConfigMaps(ns).Delete(ctx, "fin", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &c.UID}}); err != nil {
			return err
		}
		c, err = cs.CoreV1().ConfigMaps(ns).Get(ctx, "fin", metav1.GetOptions{})
		if err != nil || c.DeletionTimestamp == nil {
			return fmt.Errorf("%v %v", c, err)
		}
		c.Finalizers = nil
		if _, err = cs.CoreV1().ConfigMaps(ns).Update(ctx, c, metav1.UpdateOptions{}); err != nil {
			return err
		}
		_, err = cs.CoreV1().ConfigMaps(ns).Get(ctx, "fin", metav1.GetOptions{})
		return want(apierrors.IsNotFound(err), "%v", err)
	})
	run("garbage collection: background of owned; orphan; foreground", func(ctx context.Context) error {
		mk := func(name string) (*corev1.ConfigMap, error) {
			o, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, cm(name), metav1.CreateOptions{})
			if err != nil {
				return nil, err
			}
			c := cm(name + "-child")
			t := true
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: o.Name, UID: o.UID, BlockOwnerDeletion: &t, Controller: &t}}
			_, err = cs.CoreV1().ConfigMaps(ns).Create(ctx, c, metav1.CreateOptions{})
			return o, err
		}
		var errs []string
		for _, p := range []metav1.DeletionPropagation{"Background", "Orphan", "Foreground"} {
			name := "gc-" + strings.ToLower(string(p))
			if _, err := mk(name); err != nil {
				return err
			}
			if err := cs.CoreV1().ConfigMaps(ns).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &p}); err != nil {
				return err
			}
			time.Sleep(500 * time.Millisecond)
			_, oerr := cs.CoreV1().ConfigMaps(ns).Get(ctx, name, metav1.GetOptions{})
			c, cerr := cs.CoreV1().ConfigMaps(ns).Get(ctx, name+"-child", metav1.GetOptions{})
			switch p {
			case "Orphan":
				if cerr != nil || len(c.OwnerReferences) != 0 || !apierrors.IsNotFound(oerr) {
					errs = append(errs, fmt.Sprintf("orphan: owner %v child %v refs %v", oerr, cerr, c.OwnerReferences))
				}
			default:
				if !apierrors.IsNotFound(cerr) || !apierrors.IsNotFound(oerr) {
					errs = append(errs, fmt.Sprintf("%s: owner %v child %v", p, oerr, cerr))
				}
			}
		}
		return want(len(errs) == 0, "%s", strings.Join(errs, "; "))
	})
	run("deletecollection by label", func(ctx context.Context) error {
		for i := 0; i < 5; i++ {
			c := cm(fmt.Sprintf("dc-%d", i))
			c.Labels = map[string]string{"dc": fmt.Sprint(i % 2)}
			if _, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, c, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		if err := cs.CoreV1().ConfigMaps(ns).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "dc=0"}); err != nil {
			return err
		}
		l, err := cs.CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{LabelSelector: "dc"})
		if err != nil {
			return err
		}
		return want(len(l.Items) == 2, "%d left", len(l.Items))
	})
	run("immutable ConfigMap, Secret type, Service clusterIP, Job template refused", func(ctx context.Context) error {
		var errs []string
		t := true
		c := cm("imm")
		c.Immutable = &t
		c, err := cs.CoreV1().ConfigMaps(ns).Create(ctx, c, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		c.Data["a"] = "changed"
		if _, err = cs.CoreV1().ConfigMaps(ns).Update(ctx, c, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
			errs = append(errs, fmt.Sprintf("immutable configmap changed: %v", err))
		}
		s, err := cs.CoreV1().Secrets(ns).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sec"}, StringData: map[string]string{"a": "b"}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if string(s.Data["a"]) != "b" || s.Type != "Opaque" {
			errs = append(errs, fmt.Sprintf("secret %v %v", s.Data, s.Type))
		}
		s.Type = "other/type"
		if _, err = cs.CoreV1().Secrets(ns).Update(ctx, s, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
			errs = append(errs, fmt.Sprintf("secret type changed: %v", err))
		}
		v, err := cs.CoreV1().Services(ns).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "svc"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if v.Spec.ClusterIP == "" {
			errs = append(errs, "no clusterIP")
		}
		v.Spec.ClusterIP, v.Spec.ClusterIPs = "10.0.0.99", []string{"10.0.0.99"}
		if _, err = cs.CoreV1().Services(ns).Update(ctx, v, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
			errs = append(errs, fmt.Sprintf("clusterIP changed: %v", err))
		}
		j, err := cs.BatchV1().Jobs(ns).Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: "Never", Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if j.Spec.Selector == nil || j.Spec.Template.Labels["batch.kubernetes.io/job-name"] == "" {
			errs = append(errs, "job selector/labels not generated")
		}
		j.Spec.Template.Spec.Containers[0].Image = "other"
		if _, err = cs.BatchV1().Jobs(ns).Update(ctx, j, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
			errs = append(errs, fmt.Sprintf("job template changed: %v", err))
		}
		d, err := cs.AppsV1().Deployments(ns).Create(ctx, dep("immsel"), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		d.Spec.Selector.MatchLabels = map[string]string{"z": "z"}
		d.Spec.Template.Labels = map[string]string{"z": "z"}
		if _, err = cs.AppsV1().Deployments(ns).Update(ctx, d, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
			errs = append(errs, fmt.Sprintf("deployment selector changed: %v", err))
		}
		return want(len(errs) == 0, "%s", strings.Join(errs, "; "))
	})
	run("validation: bad quantity, no containers, dup container, bad port, bad label", func(ctx context.Context) error {
		var errs []string
		bad := map[string]func(*corev1.Pod){
			"no containers":  func(p *corev1.Pod) { p.Spec.Containers = nil },
			"dup containers": func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) },
			"bad port":       func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 99999}} },
			"bad label":      func(p *corev1.Pod) { p.Labels["x"] = "a b" },
			"no image":       func(p *corev1.Pod) { p.Spec.Containers[0].Image = "" },
			"bad restart":    func(p *corev1.Pod) { p.Spec.RestartPolicy = "Sometimes" },
			"negative request": func(p *corev1.Pod) {
				p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("-1")}
			},
			"request>limit": func(p *corev1.Pod) {
				p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("2")}, Limits: corev1.ResourceList{"cpu": resource.MustParse("1")}}
			},
			"unknown volume": func(p *corev1.Pod) {
				p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "nov", MountPath: "/x"}}
			},
		}
		for k, f := range bad {
			p := pod("bad")
			f(p)
			if _, err := cs.CoreV1().Pods(ns).Create(ctx, p, metav1.CreateOptions{DryRun: []string{"All"}}); !apierrors.IsInvalid(err) {
				errs = append(errs, fmt.Sprintf("%s: %v", k, err))
			}
		}
		return want(len(errs) == 0, "taken: %s", strings.Join(errs, "; "))
	})
	run("retry.RetryOnConflict", func(ctx context.Context) error {
		return retry.RetryOnConflict(retry.DefaultRetry, func() error {
			c, err := cs.CoreV1().ConfigMaps(ns).Get(ctx, "c1", metav1.GetOptions{})
			if err != nil {
				return err
			}
			c.Data["r"] = "1"
			_, err = cs.CoreV1().ConfigMaps(ns).Update(ctx, c, metav1.UpdateOptions{})
			return err
		})
	})
	run("namespace deletion: terminates, contents gone, create in it refused", func(ctx context.Context) error {
		if err := cs.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil {
			return err
		}
		for i := 0; i < 20; i++ {
			if _, err := cs.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{}); apierrors.IsNotFound(err) {
				_, err = cs.CoreV1().ConfigMaps(ns).Create(ctx, cm("late"), metav1.CreateOptions{})
				return want(apierrors.IsNotFound(err), "%v", err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		return errors.New("stays Terminating")
	})
}
