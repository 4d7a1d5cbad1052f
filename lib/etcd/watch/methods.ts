/** The method of etcd's Watch service. */
import type { EtcdContext } from "../context.ts";
import type { Method } from "../rpc/method.ts";
import { WatchService } from "./watch_service.ts";

/** Returns the methods of the Watch service. Their messages are encoded once for many streams, so they are handled as bytes. */
export function watchMethods(context: EtcdContext): readonly Method[] {
  const service = new WatchService(context);
  return [{
    kind: "stream",
    path: "/etcdserverpb.Watch/Watch",
    http: ["/v3/watch"],
    run: (bodies, format, call) => service.serve(bodies, format, call),
  }];
}
