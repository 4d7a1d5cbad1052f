/** The command `mirror`: copies the keys of an etcd, and follows its changes. */
import { MAX_KEY_BYTES, MAX_VALUE_BYTES, prefixEnd } from "../../../kv/mod.ts";
import { AddressError, formatAddress, parseAddress } from "../../../platform/address.ts";
import type { OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  changeAnswer,
  type CommandContext,
  defineCommand,
  type Invocation,
} from "../../command.ts";
import { ExitCode, failureOf, HalfwayError, UsageError } from "../../errors.ts";
import { namesText } from "../../formats/tally.ts";
import { EtcdError } from "../../mirror/etcd_answers.ts";
import { EtcdGateway, type EtcdTarget } from "../../mirror/etcd_gateway.ts";
import { Mirror } from "../../mirror/mirror.ts";
import { MirrorTarget } from "../../mirror/mirror_target.ts";
import { BYTES_OPTIONS, bytesOf, PREFIX, timeoutOf, TO_PREFIX } from "../../options.ts";
import { askSecret, secretSource } from "../../sign_in/secrets.ts";
import { readPem } from "../../tls_options.ts";
import { countOf, duration, withThousands, wordAsTyped } from "../../text.ts";

const FROM: OptionSpec = {
  name: "from-etcd",
  placeholder: "<host:port>,…",
  help: "an etcd, or more members of one, with https:// before the first or all for TLS",
};
const ONCE: OptionSpec = { name: "once", placeholder: null, help: "end when everything is copied" };
const OVERWRITE: OptionSpec = {
  name: "overwrite",
  placeholder: null,
  help: "delete or overwrite keys that the cluster has there already",
};
const DROP_LEASES: OptionSpec = {
  name: "drop-leases",
  placeholder: null,
  help: "put keys of leases, too, as keys that stay until etcd deletes them",
};
const FROM_USER: OptionSpec = {
  name: "from-user",
  placeholder: "<name>",
  help: "sign in at etcd as this user; asks for the password",
};
const FROM_PASSWORD: OptionSpec = {
  name: "from-password-file",
  placeholder: "<path>",
  help: "take that password from a file, and do not ask",
};
const FROM_CA: OptionSpec = {
  name: "from-ca",
  placeholder: "<path>",
  isSeldom: true,
  help: "the certificates of etcd's authorities, in PEM (those of the system)",
};
const FROM_CERT: OptionSpec = {
  name: "from-cert",
  placeholder: "<path>",
  isSeldom: true,
  help: "the certificate to show to etcd, in PEM",
};
const FROM_KEY: OptionSpec = {
  name: "from-key",
  placeholder: "<path>",
  isSeldom: true,
  help: "the private key of --from-cert",
};

export const MIRROR = defineCommand({
  name: "mirror",
  otherNames: ["make-mirror", "sync", "replicate"],
  isLong: true,
  options: [
    FROM,
    PREFIX,
    TO_PREFIX,
    ONCE,
    OVERWRITE,
    DROP_LEASES,
    FROM_USER,
    FROM_PASSWORD,
    FROM_CA,
    FROM_CERT,
    FROM_KEY,
    ...BYTES_OPTIONS,
  ],
  summary: "copy the keys of an etcd, and follow each change there until Ctrl-C",
  details: [
    "Copies all keys as of one revision of etcd, and then makes the changes of each later revision in one transaction: a",
    "transaction of etcd is seen whole. Goes on by itself when etcd or the cluster was away; copies again, and writes what",
    "differs, when etcd has compacted the changes since then. Nothing is written to etcd.",
    "The mirrored keys of the cluster become those of etcd: a key that etcd does not have is deleted. So a mirror is refused",
    "where the cluster has such keys, unless --overwrite is given, as for a mirror that is begun again. With --once it says",
    "how many keys were the same: a way to compare.",
    "A key with a lease is left out unless --drop-leases is given: nothing would remove it here once the mirror has ended.",
    `Keys over ${MAX_KEY_BYTES} bytes and values over ${MAX_VALUE_BYTES} bytes are left out and named; the exit code is 1 then.`,
    "etcd from 3.4 on, by its JSON gateway, which is on its client port.",
  ],
  example: [
    "mirror --from-etcd 10.0.0.9:2379",
    "ok  up to revision 4711 of etcd: 120 keys put, 3 deleted, 0 were the same, in 62 s",
  ],
  async run(invocation, context): Promise<Answer> {
    const { clock } = context.environment;
    const startedAt = clock.now();
    const { options } = invocation;
    const prefix = bytesOf(options.get(PREFIX.name) ?? "", invocation);
    const toPrefix = bytesOf(options.get(TO_PREFIX.name) ?? options.get(PREFIX.name) ?? "", invocation);
    const etcd = await etcdOf(invocation, context);
    using _http = etcd.http;
    // In the shell and on the command line there is a signal; a program that embeds the command may have none.
    const signal = context.signal ?? new AbortController().signal;
    const target = new MirrorTarget({
      client: await context.client(),
      clock,
      prefix,
      toPrefix,
      dropsLeases: options.has(DROP_LEASES.name),
      timeoutMs: timeoutOf(options) ?? context.timeoutMs,
      signal,
      note: context.note,
    });
    if (!options.has(OVERWRITE.name) && !await target.isEmpty()) throw notEmpty(toPrefix);
    const gateway = new EtcdGateway(etcd);
    const { note, showProgress } = context;
    const mirror = new Mirror({
      gateway,
      target,
      range: { start: prefix, end: prefixEnd(prefix) },
      clock,
      signal,
      note,
      showProgress,
    });
    try {
      await mirror.run({ once: options.has(ONCE.name) });
    } catch (error) {
      throw failed(error, { mirror, endpoint: gateway.endpoint });
    }
    return answerOf({ mirror, target, elapsedMs: clock.now() - startedAt, note });
  },
});

function notEmpty(prefix: Uint8Array): UsageError {
  const keys = prefix.length === 0 ? "keys" : `keys that begin with ${wordAsTyped(prefix)}`;
  return new UsageError(
    `The cluster has ${keys} already; a mirror deletes those that etcd does not have. Nothing was changed. Give ` +
      "--overwrite if that is wanted, or --to-prefix to mirror to other keys.",
  );
}

function answerOf(
  { mirror, target, elapsedMs, note }: {
    readonly mirror: Mirror;
    readonly target: MirrorTarget;
    readonly elapsedMs: number;
    readonly note: CommandContext["note"];
  },
): Answer {
  const { puts, deletes, same } = target.counts;
  const leftOut = target.leftOut.tally();
  for (const line of leftOut.lines) {
    note(`left out ${countOf(line.count, "key")} ${line.reason}: ${namesText(line)}`);
  }
  const { revision, copies, followed } = mirror;
  const [deleted, equal] = [deletes, same].map(withThousands);
  const done = `${countOf(puts, "key")} put, ${deleted} deleted, ${equal} were the same, in ${
    duration(elapsedMs)
  }`;
  const isCopied = revision !== null;
  const left = leftOut.total === 0 ? "" : `; left out: ${leftOut.text()}`;
  return changeAnswer({
    line: isCopied
      ? `ok  up to revision ${revision} of etcd: ${done}${left}`
      : `ended before everything was copied: ${done}${left}`,
    document: {
      revision,
      puts,
      deletes,
      same,
      copies,
      followed,
      leftOut: leftOut.total,
      reasons: leftOut.lines,
    },
    exitCode: isCopied && !target.leftOut.hasLost ? ExitCode.done : ExitCode.no,
  });
}

/** Returns the error of a mirror that cannot go on. */
function failed(
  error: unknown,
  { mirror: { revision }, endpoint }: { readonly mirror: Mirror; readonly endpoint: string },
): HalfwayError {
  const done = revision === null
    ? "Not everything is copied."
    : `Everything up to revision ${revision} of etcd is mirrored.`;
  if (!(error instanceof EtcdError)) {
    const { code, message, exitCode } = failureOf(error);
    return new HalfwayError(`${message} ${done}`, { code, exitCode, cause: error });
  }
  const hint = error.kind === "denied"
    ? ` Give --${FROM_USER.name} with a user who may read the keys, and its password.`
    : "";
  return new HalfwayError(`Cannot mirror the etcd at ${endpoint}: ${error.message}. ${done}${hint}`, {
    code: error.kind === "denied" ? "authentication" : "unavailable",
    exitCode: error.kind === "denied" ? ExitCode.denied : ExitCode.unavailable,
    cause: error,
  });
}

/** Returns how the options say that etcd is reached. Throws {@link UsageError}. */
async function etcdOf(invocation: Invocation, context: CommandContext): Promise<EtcdTarget> {
  const { options } = invocation;
  const text = options.get(FROM.name);
  if (text === undefined) {
    throw new UsageError(`mirror needs --${FROM.name} <host:port>. Example: ${MIRROR.example[0]}`);
  }
  const [ca, cert, key] = [FROM_CA, FROM_CERT, FROM_KEY].map(({ name }) => pemOf(name, options, context));
  const isTls = text.startsWith("https://");
  const given = [FROM_CA, FROM_CERT, FROM_KEY].find(({ name }) => options.has(name));
  if (given !== undefined && !isTls) {
    throw new UsageError(
      `--${given.name} is for TLS: write --${FROM.name} https://${text.replace(/^http:\/\//, "")}`,
    );
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError(`--${FROM_CERT.name} and --${FROM_KEY.name} are given together, or not at all.`);
  }
  const endpoints = text.split(",").map((one) => endpointOf(one, isTls ? "https://" : "http://"));
  const user = await userOf(invocation, context);
  const http = given === undefined ? null : Deno.createHttpClient({
    ...(ca !== undefined && { caCerts: [ca] }),
    ...(cert !== undefined && key !== undefined && { cert, key }),
  });
  return { endpoints, user, http, clock: context.environment.clock };
}

/** Returns the URL of a member. Throws {@link UsageError} for another scheme than the first one's, which says whether TLS is used. */
function endpointOf(member: string, scheme: "http://" | "https://"): string {
  const [, given = scheme, address = ""] = /^(https?:\/\/)?(.*?)\/?$/.exec(member) ?? [];
  if (given !== scheme) {
    const hint = scheme === "https://" ? "" : " Write https:// before the first, too, if all have TLS.";
    throw new UsageError(
      `--${FROM.name} has ${given}${address} behind a member with ${scheme}: all are asked with TLS, or none.${hint}`,
    );
  }
  try {
    return `${scheme}${formatAddress(parseAddress(address))}`;
  } catch (error) {
    throw error instanceof AddressError ? new UsageError(`--${FROM.name}: ${error.message}`) : error;
  }
}

function pemOf(
  name: string,
  options: ReadonlyMap<string, string>,
  { environment }: CommandContext,
): string | undefined {
  const path = options.get(name);
  if (path === undefined) return undefined;
  const text = readPem(path, { name, environment });
  if (!text.includes("-----BEGIN ")) {
    throw new UsageError(`Cannot use --${name} ${path}: it is not text in PEM.`);
  }
  return text;
}

async function userOf({ options }: Invocation, context: CommandContext): Promise<EtcdTarget["user"]> {
  const name = options.get(FROM_USER.name);
  const file = options.get(FROM_PASSWORD.name);
  if (name === undefined) {
    if (file === undefined) return null;
    throw new UsageError(`--${FROM_PASSWORD.name} has a password; --${FROM_USER.name} says whose it is.`);
  }
  if (file !== undefined) {
    return { name, password: secretSource(file, { what: "password", environment: context.environment }) };
  }
  const typed = await askSecret(`Password of ${name} at etcd: `, (prompt) => context.readSecret(prompt));
  return { name, password: () => typed };
}
