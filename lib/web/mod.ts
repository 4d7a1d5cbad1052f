/** The web server: what other modules import of it. */
export { constantFields } from "./fields.ts";
export { RequestsInProgress } from "./requests_in_progress.ts";
export { serveWeb } from "./server.ts";
export {
  ALPN_PROTOCOLS,
  BodyTooLargeError,
  type Delivery,
  type WebCounts,
  WebError,
  type WebHandler,
  type WebHead,
  type WebHeaders,
  type WebLimits,
  type WebRequest,
  type WebResponse,
  type WebServer,
  type WebServerOptions,
  type WebStream,
} from "./types.ts";
