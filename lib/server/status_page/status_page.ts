/**
 * The status page of a node and what it is made from: `/`, `/status/events` and `/status/cluster.json`. From any node they show
 * the whole cluster, as that node sees it.
 */
import type { Clock } from "../../platform/clock.ts";
import type { Logger } from "../../platform/logger.ts";
import type { HttpRequest, HttpResponse, HttpStreamWriter } from "../../platform/network.ts";
import type { MemberReport } from "../../protocol/diagnostics/report.ts";
import type { Visitor, VisitorRefusal, VisitorRequest } from "../auth/web_users.ts";
import { DOCUMENT, DOCUMENT_HEADERS } from "./document.ts";
import { hostOf, isAddressOrLocal } from "./hosts.ts";
import { EVENTS_HEAD, Viewers } from "./viewers.ts";

const TEXT = "text/plain; charset=utf-8";
const JSON_TYPE = "application/json; charset=utf-8";

/** The cluster as one node sees it: the content of `/status/cluster.json` and of each event. */
export interface ClusterView {
  /** The cluster's id. */
  readonly cluster: string;
  /** The node that was asked. */
  readonly node: number;
  /** When it answered, by its clock: milliseconds since 1970. */
  readonly atMs: number;
  /** The members, sorted by id. */
  readonly members: readonly MemberReport[];
}

/** The parts of a running node that the pages show. */
export interface PageSource {
  readonly view: () => Promise<ClusterView>;
  /** Whether a name, in lower case, is one of the node or its cluster. */
  readonly isOwnName: (name: string) => boolean;
  readonly identify: (request: VisitorRequest) => Promise<Visitor | VisitorRefusal>;
}

/** The pages of one running node. */
export class StatusPage {
  readonly #source: PageSource;
  readonly #viewers: Viewers;

  constructor(source: PageSource, { clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#source = source;
    const view = async (): Promise<string> => JSON.stringify(await source.view());
    this.#viewers = new Viewers({ clock, logger, view });
  }

  /** Resolves to who asks, or to the refusal of a request for a page that shows the cluster. */
  async admit(request: HttpRequest): Promise<Visitor | HttpResponse> {
    const misdirected = refusalOfHost(request, this.#source.isOwnName);
    if (misdirected !== null) return misdirected;
    const authorization = request.header("authorization");
    const visitor = await this.#source.identify({ remote: request.remote, authorization });
    if ("isAllowed" in visitor) return visitor;
    const { kind, message } = visitor;
    const body = `${message}\n`;
    if (kind === "unavailable") return { status: 503, contentType: TEXT, body };
    const headers = { "www-authenticate": 'Basic realm="kvraft", charset="UTF-8"' };
    return { status: 401, contentType: TEXT, body, headers };
  }

  /** Answers a visitor; null for a path that is none of these pages. */
  async answer(path: string, visitor: Visitor): Promise<HttpResponse | null> {
    switch (path) {
      case "/":
        return document();
      case "/status/events": {
        const stream = (writer: HttpStreamWriter): () => void => this.#viewers.add(writer, visitor.isAllowed);
        return { status: 200, contentType: "text/event-stream", body: EVENTS_HEAD, stream };
      }
      case "/status/cluster.json": {
        const body = `${JSON.stringify(await this.#source.view(), null, 2)}\n`;
        return { status: 200, contentType: JSON_TYPE, body };
      }
      default:
        return null;
    }
  }

  /** Has viewers see soon what has changed. */
  changed(): void {
    this.#viewers.changed();
  }

  /** Ends the streams. */
  close(): void {
    this.#viewers.close();
  }
}

/** Returns the document, which has nothing of the cluster: its script asks for that. */
export function document(): HttpResponse {
  return { status: 200, contentType: "text/html; charset=utf-8", body: DOCUMENT, headers: DOCUMENT_HEADERS };
}

/** Returns the answer to a request by a name that is none of this node and its cluster; null if it is one, or an address. */
function refusalOfHost(request: HttpRequest, isOwnName: (name: string) => boolean): HttpResponse | null {
  const host = hostOf(request.header("host"));
  if (host !== null && (isAddressOrLocal(host) || isOwnName(host))) return null;
  const body =
    "Cannot show this page by the name that it was asked for: it is none of this node or its cluster. " +
    "Use the node's address, localhost, or a name that --cluster, --bind, --http or its certificate has.\n";
  return { status: 421, contentType: TEXT, body };
}
