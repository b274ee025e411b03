package dev.kinformer;

import io.fabric8.kubernetes.api.model.Pod;
import io.fabric8.kubernetes.client.ConfigBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.informers.ResourceEventHandler;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What an informer of Fabric8's client costs; called by the benchmarks in Python.
 *
 * <p>Arguments: URL OBJECTS EVENTS WARM_UP names|reads. It prints the costs as one line of JSON: CPU microseconds of the
 * first list and of an event, those of the compiler and the collector included, and resident bytes.
 */
public final class Informer {
  private static volatile double began;
  private static volatile double ended;

  private Informer() {}

  private static double cpu() {
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return system.getProcessCpuTime() / 1e3;
  }

  private static long resident() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmRSS:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
      }
    }
    return 0;
  }

  private static void read(Pod pod, boolean reads) {
    if (pod.getMetadata().getName() == null) {
      throw new IllegalStateException("a pod without a name");
    }
    if (reads && pod.getStatus().getPhase() == null) {
      throw new IllegalStateException("a pod without a phase");
    }
  }

  /** Measures one informer. */
  public static void main(String[] given) throws Exception {
    String url = given[0];
    int objects = Integer.parseInt(given[1]);
    int events = Integer.parseInt(given[2]);
    int warmUp = Integer.parseInt(given[3]);
    boolean reads = given[4].equals("reads");
    var added = new AtomicInteger();
    var updated = new AtomicInteger();
    var listed = new CountDownLatch(1);
    var done = new CountDownLatch(1);
    var config = new ConfigBuilder(io.fabric8.kubernetes.client.Config.empty()).withMasterUrl(url).build();
    double start = cpu();
    try (KubernetesClient client = new KubernetesClientBuilder().withConfig(config).build()) {
      var pods = client.pods().inAnyNamespace().runnableInformer(0);
      if (reads) {
        pods.addIndexers(Map.of("node", pod -> List.of(pod.getSpec().getNodeName())));
      }
      pods.addEventHandler(
          new ResourceEventHandler<Pod>() {
            @Override
            public void onAdd(Pod pod) {
              read(pod, reads);
              if (added.incrementAndGet() == objects) {
                listed.countDown();
              }
            }

            @Override
            public void onUpdate(Pod old, Pod pod) {
              read(pod, reads);
              int seen = updated.incrementAndGet();
              if (seen == warmUp) {
                began = cpu();
              } else if (seen == warmUp + events) {
                ended = cpu();
                done.countDown();
              }
            }

            @Override
            public void onDelete(Pod pod, boolean unknown) {}
          });
      pods.exceptionHandler(
          (started, failure) -> {
            failure.printStackTrace();
            System.exit(1);
            return false;
          });
      pods.start();
      if (!listed.await(80, TimeUnit.SECONDS)) {
        throw new IllegalStateException(added.get() + " of " + objects + " objects came");
      }
      double sync = cpu() - start;
      System.gc();
      long held = resident();
      if (events == 0) {
        System.out.printf("{\"sync\": %f, \"held\": %d}%n", sync, held);
        System.out.flush();
        Runtime.getRuntime().halt(0);
      }
      var request = HttpRequest.newBuilder(URI.create(url + "/replay/begin")).build();
      HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding());
      if (!done.await(80, TimeUnit.SECONDS)) {
        throw new IllegalStateException(updated.get() + " of " + (warmUp + events) + " events came");
      }
      System.out.printf("{\"sync\": %f, \"held\": %d, \"event\": %f}%n", sync, held, (ended - began) / events);
      System.out.flush();
        Runtime.getRuntime().halt(0);
    }
  }
}
