/**
 * Short links with counted clicks: a web server with Hono whose data is in Deno KV, served by the cluster. Start as many of
 * it as you like: what one of them stores, all of them see at once, and each goes on while a node is down.
 *
 *     ./cluster.sh start --denokv
 *     DENO_KV_ACCESS_TOKEN=x deno run --unstable-kv -A examples/denokv_links.ts
 *     curl -d https://deno.com http://127.0.0.1:8000/links
 *     curl http://127.0.0.1:8000/links
 *
 * KV_URL is the database, PORT the port of this server. Nothing in this program is about kvraft: with a path in KV_URL it
 * runs on a local file, and on Deno Deploy without it.
 */
// deno-lint-ignore-file no-console -- a program prints its result
import { Hono } from "npm:hono@4.10.4";

const kv = await Deno.openKv(Deno.env.get("KV_URL") ?? "http://127.0.0.1:4512");
// Watches share a connection with the other calls of their handle: they get one of their own.
const watched = await Deno.openKv(Deno.env.get("KV_URL") ?? "http://127.0.0.1:4512");

interface Link {
  readonly url: string;
  readonly createdAt: string;
}

/** Stores a link under a new slug; another process cannot have taken the same one. */
async function create(url: string): Promise<string> {
  for (;;) {
    const slug = crypto.randomUUID().slice(0, 6);
    const link: Link = { url, createdAt: new Date().toISOString() };
    const stored = await kv.atomic()
      .check({ key: ["links", slug], versionstamp: null })
      .set(["links", slug], link)
      .set(["clicks", slug], new Deno.KvU64(0n))
      .commit();
    if (stored.ok) return slug;
    // Also after a failover, if the first attempt was made and its answer lost: then the link is ours.
    const { value } = await kv.get<Link>(["links", slug]);
    if (value?.createdAt === link.createdAt && value.url === url) return slug;
  }
}

const app = new Hono();

app.post("/links", async (c) => {
  const url = (await c.req.text()).trim();
  if (!URL.canParse(url)) return c.text("Send a URL as the body.\n", 400);
  return c.text(`${new URL(`/to/${await create(url)}`, c.req.url)}\n`, 201);
});

app.get("/links", async (c) => {
  const links: { slug: string; url: string; clicks: number }[] = [];
  for await (const { key: [, slug], value: { url } } of kv.list<Link>({ prefix: ["links"] })) {
    const clicks = await kv.get<Deno.KvU64>(["clicks", String(slug)]);
    links.push({ slug: String(slug), url, clicks: Number(clicks.value ?? 0n) });
  }
  return c.json(links);
});

app.get("/to/:slug", async (c) => {
  const slug = c.req.param("slug");
  const { value } = await kv.get<Link>(["links", slug]);
  if (value === null) return c.text("There is no such link.\n", 404);
  await kv.atomic().sum(["clicks", slug], 1n).commit();
  return c.redirect(value.url);
});

/** The clicks of a link as they change, as server-sent events. */
app.get("/to/:slug/clicks", (c) => {
  const changes = watched.watch<[Deno.KvU64]>([["clicks", c.req.param("slug")]]);
  const events = changes.pipeThrough(
    new TransformStream<[Deno.KvEntryMaybe<Deno.KvU64>], string>({
      transform: ([{ value }], controller) => controller.enqueue(`data: ${value ?? 0n}\n\n`),
    }),
  );
  return new Response(events.pipeThrough(new TextEncoderStream()), {
    headers: { "content-type": "text/event-stream" },
  });
});

const server = Deno.serve({
  hostname: "127.0.0.1",
  port: Number(Deno.env.get("PORT") ?? 8000),
  onListen: ({ port }) => console.log(`Serving http://127.0.0.1:${port}/links`),
}, app.fetch);
Deno.addSignalListener("SIGTERM", () => void server.shutdown());
await server.finished;
kv.close();
watched.close();
