/** The TLS files of a server: what is refused at the start, and what happens when they change. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { generateKeyPairSync } from "node:crypto";
import { ConfigError } from "../../../../lib/server/config/config_file.ts";
import { PrivateFileError } from "../../../../lib/platform/private_file.ts";
import {
  openServerTls,
  type ServerTls,
  TLS_FILES_CHECK_MS,
} from "../../../../lib/server/startup/server_tls.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";
import { Authority, type CertificateOptions, keyOf, pemOf } from "../../../support/tls/certificates.ts";

const DAY_MS = 86_400_000;
const authority = new Authority();
const node = authority.node();
const CONFIG = {
  tlsCa: "ca.crt",
  tlsCert: "node.crt",
  tlsKey: "node.key",
  tlsClientAuth: "optional",
  tlsMinVersion: "1.3",
  peerName: null,
  allowGroupReadableKeys: false,
} as const;

type Files = Record<string, string>;

function scene(changed: Files = {}, { denoVersion = "2.9.6", config = {} }: {
  readonly denoVersion?: string;
  readonly config?: Partial<Parameters<typeof openServerTls>[0]>;
} = {}): {
  readonly files: Files;
  readonly clock: ManualClock;
  readonly logger: RecordingLogger;
  readonly open: () => ServerTls;
} {
  const files: Files = { "ca.crt": authority.cert, "node.crt": node.cert, "node.key": node.key, ...changed };
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const startMs = Date.now();
  const read = (path: string): string => {
    const text = files[path];
    if (text === undefined) throw new Deno.errors.NotFound("No such file");
    return text;
  };
  const open = (): ServerTls => {
    const tls = openServerTls({ ...CONFIG, ...config }, {
      clock,
      logger,
      denoVersion,
      wallClock: () => startMs + clock.now(),
      readPublicFile: read,
      readPrivateFile: (path) => {
        if (files[path] === "readable by others") throw new PrivateFileError("its mode is 0644");
        return read(path);
      },
    });
    assert(tls !== null);
    return tls;
  };
  return { files, clock, logger, open };
}

function messages(logger: RecordingLogger, level: string): readonly string[] {
  return logger.lines.filter((line) => line.level === level).map(({ message }) => message);
}

Deno.test("openServerTls: files that do not go together are refused with the flag, the path and the reason", () => {
  const other = new Authority("another authority");
  const encrypted = pemOf(keyOf(node.key), "secret");
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey;
  const cases: readonly (readonly [Files, string, RegExp])[] = [
    [
      { "node.key": authority.node().key },
      "--tls-key: cannot use node.key",
      /not the key of the certificate/,
    ],
    [{ "node.key": pemOf(rsa) }, "--tls-key: cannot use node.key", /not the key of the certificate/],
    [{ "node.key": encrypted }, "--tls-key: cannot use node.key", /it is encrypted.*openssl pkey/],
    [{ "node.key": "garbage" }, "--tls-key: cannot use node.key", /no private key in PEM/],
    [{ "node.key": "readable by others" }, "--tls-key: cannot use node.key", /mode is 0644/],
    [{ "node.crt": other.node().cert }, "--tls-cert: cannot use node.crt", /not issued by an authority/],
    [{ "node.crt": authority.cert }, "--tls-cert: cannot use node.crt", /that of an authority/],
    [{ "node.crt": "garbage" }, "--tls-cert: cannot use node.crt", /no certificate in PEM/],
    [{ "ca.crt": "garbage" }, "--tls-ca: cannot use ca.crt", /no certificate in PEM/],
    [{ "ca.crt": authority.cert.replace(/M/, "!") }, "--tls-ca: cannot use ca.crt", /cannot be read/],
    [{ "ca.crt": authority.cert + node.key }, "--tls-ca: cannot use ca.crt", /more than certificates/],
    [{ "ca.crt": node.cert }, "--tls-ca: cannot use ca.crt", /is not that of an authority/],
    [
      { "node.crt": node.key },
      "--tls-cert: cannot use node.crt",
      /no certificate in PEM: it is a private key/,
    ],
    [
      { "node.key": node.cert },
      "--tls-key: cannot use node.key",
      /no private key in PEM: it is a certificate/,
    ],
    [{ "node.key": "" }, "--tls-key: cannot use node.key", /no private key in PEM: it is empty\. /],
    [{ "node.crt": "\x30\x82\x01\uFFFD" }, "--tls-cert: cannot use node.crt", /it is binary.*openssl x509/],
    [
      { "node.crt": node.cert.replaceAll("CERTIFICATE", "CERTIFICATE REQUEST") },
      "--tls-cert: cannot use node.crt",
      /it is the request for a certificate/,
    ],
  ];
  for (const [files, start, reason] of cases) {
    const { message } = assertThrows(() => scene(files).open(), ConfigError);
    assert(message.startsWith(start) && reason.test(message), message);
    assert(!message.includes("PRIVATE"), "nothing of a key is in a message");
  }
  const unfit: readonly (readonly [Partial<CertificateOptions>, RegExp])[] = [
    [{ validToDays: -0.5 }, /expired on/],
    [{ validFromDays: 1 }, /not valid before/],
    [{ usages: ["client"] }, /for clients only/],
    [{ isVersion1: true }, /no extensions.*-copy_extensions copy/],
  ];
  for (const [options, reason] of unfit) {
    const { cert, key } = authority.node(options);
    const { message } = assertThrows(() => scene({ "node.crt": cert, "node.key": key }).open(), ConfigError);
    assert(reason.test(message), message);
  }
  const { files, open } = scene();
  delete files["ca.crt"];
  assert(
    assertThrows(open, ConfigError).message.includes("--tls-ca: cannot use ca.crt: there is no such file"),
  );
});

Deno.test("openServerTls: a version of Deno that does not verify certificates of clients is refused", () => {
  assert(assertThrows(scene({}, { denoVersion: "2.9.5" }).open, ConfigError).message.includes("Deno 2.9.5"));
  for (const version of ["2.9.6", "2.10.0", "3.0.0", "2.9.6-rc.1"]) {
    scene({}, { denoVersion: version }).open().close();
  }
});

Deno.test("ServerTls: changed files are used, and files that cannot be used are reported once and change nothing", () => {
  const { files, clock, logger, open } = scene();
  const tls = open();
  tls.watch();
  const days = (): number => tls.daysLeft;
  assertEquals(days(), 364);
  const renewed = authority.node({ validToDays: 200 });
  files["node.crt"] = renewed.cert; // the key is renamed a moment later
  clock.advance(TLS_FILES_CHECK_MS);
  clock.advance(TLS_FILES_CHECK_MS);
  assertEquals(days(), 364);
  assertEquals(messages(logger, "warn"), [
    "Cannot use the TLS files as they are now; the ones read before stay in use",
  ]);
  files["node.key"] = renewed.key;
  clock.advance(TLS_FILES_CHECK_MS);
  assertEquals(days(), 199);
  assertEquals(messages(logger, "info"), ["Read the TLS files again; new connections use them"]);
  const bundle = authority.cert + new Authority().cert;
  files["ca.crt"] = bundle;
  clock.advance(TLS_FILES_CHECK_MS);
  assertEquals(messages(logger, "info").length, 2);
  tls.close();
});

Deno.test("ServerTls: a certificate that other nodes refuse is announced by a node, and by no gateway", () => {
  const members = [{ id: 1, address: { host: "127.0.0.1", port: 7001 } }, {
    id: 2,
    address: { host: "node2.example", port: 7001 },
  }];
  const NODE = { nodeId: 1, members, peerName: null as string | null };
  const warnings = (
    options: Partial<CertificateOptions>,
    config: Partial<typeof NODE>,
  ): readonly unknown[] => {
    const { cert, key } = authority.node(options);
    const { logger, open } = scene({ "node.crt": cert, "node.key": key }, { config });
    open().close();
    return logger.lines.filter(({ level }) => level === "warn").map(({ fields }) => fields["reason"]);
  };
  const usage = "its extended key usage does not name serverAuth and clientAuth";
  assertEquals(warnings({}, NODE), []);
  assertEquals(warnings({}, { ...NODE, nodeId: 2 }), [
    "it is not for node2.example, but for IP:127.0.0.1, DNS:localhost",
  ]);
  assertEquals(warnings({}, { ...NODE, peerName: "kvraft.internal" }), [
    "it is not for kvraft.internal, but for IP:127.0.0.1, DNS:localhost",
  ]);
  assertEquals(warnings({ usages: ["server"] }, NODE), [usage]);
  assertEquals(warnings({ usages: [] }, NODE), [usage]);
  assertEquals(warnings({ usages: ["server"] }, {}), [], "a gateway dials nodes with another certificate");
});

Deno.test("ServerTls: the end of a certificate is announced at the start, daily from 30 days before, and when it comes", () => {
  const { cert, key } = authority.node({ validToDays: 31.5 });
  const { clock, logger, open } = scene({ "node.crt": cert, "node.key": key });
  const tls = open();
  assertEquals(messages(logger, "warn"), []);
  for (let day = 0; day < 3; day++) clock.advance(DAY_MS);
  assertEquals(messages(logger, "warn"), Array(2).fill("The TLS certificate expires soon. Renew it"));
  for (let day = 0; day < 28; day++) clock.advance(DAY_MS);
  assertEquals([tls.daysLeft, messages(logger, "error")], [0, []]);
  clock.advance(DAY_MS / 2 + 1_000);
  const expired = "The TLS certificate has expired: other nodes and clients refuse it. Renew it";
  assertEquals([tls.daysLeft, messages(logger, "error")], [-1, [expired]]);
  clock.advance(2 * DAY_MS);
  assertEquals(messages(logger, "error"), Array(3).fill(expired));
  tls.close();
});

Deno.test("ServerTls: the end of an authority that the certificate depends on is announced with its name", () => {
  const middle = new Authority("middle", authority, { validToDays: 10 });
  const { cert, key } = middle.node();
  const { clock, logger, open } = scene({ "node.crt": cert + middle.cert, "node.key": key });
  const tls = open();
  clock.advance(11 * DAY_MS);
  tls.close();
  const announced = logger.lines.filter(({ fields }) => String(fields["event"]).startsWith("certificateE"));
  assertEquals(
    [announced[0], announced.at(-1)].map((
      line,
    ) => [line?.message, line?.fields["authority"], line?.fields["days"]]),
    [
      ["An authority that the TLS certificate depends on expires soon. Renew both", "CN=middle", 9],
      [
        "An authority that the TLS certificate depends on has expired: clients refuse the certificate. Renew both",
        "CN=middle",
        -2,
      ],
    ],
  );
});
