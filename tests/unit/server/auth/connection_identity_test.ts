/** ConnectionIdentity: the user of a connection by its certificate, its sign-ins, and the changes of both. */
import { assertEquals } from "@std/assert";
import { AuthState } from "../../../../lib/kv/auth/auth_state.ts";
import type { PeerCertificate } from "../../../../lib/platform/network.ts";
import { ConnectionIdentity } from "../../../../lib/server/auth/connection_identity.ts";
import { passwordHash } from "../../../support/fakes/auth.ts";

const CERTIFICATE: PeerCertificate = {
  commonName: "alice",
  altNames: [],
  issuer: "an authority",
  notBeforeMs: 0,
  notAfterMs: 5_000,
  isForServers: false,
  fingerprint: "00",
  problem: null,
};

/** A connection, and users who change. */
class Bench {
  readonly auth = new AuthState();
  nowMs = 1_000;

  constructor() {
    this.auth.change({ kind: "addUser", user: "alice", password: passwordHash("a") });
    this.auth.change({ kind: "addUser", user: "bob", password: passwordHash("b") });
  }

  connect(certificate: PeerCertificate | null): ConnectionIdentity {
    return new ConnectionIdentity({ remote: "10.0.0.1:5000", certificate }, { wallClock: () => this.nowMs });
  }

  /** Signs a user in by its password. */
  signIn(identity: ConnectionIdentity, name: string): void {
    const user = this.auth.user(name);
    const { id: userId, passwordRevision: credential } = user ?? { id: 0, passwordRevision: 0 };
    identity.signIn({ userId, credential, via: "password", expiresAtMs: null });
  }

  /** Returns the user of a connection and how it is known, or the code of the refusal. */
  seen(identity: ConnectionIdentity): string {
    const user = identity.user(this.auth);
    return user === null ? identity.refusal().code : `${user.user.name} by ${user.via}`;
  }
}

Deno.test("ConnectionIdentity: a valid certificate names the user of its common name, and others name none", () => {
  const bench = new Bench();
  assertEquals(bench.seen(bench.connect(null)), "unauthenticated");
  assertEquals(bench.seen(bench.connect(CERTIFICATE)), "alice by certificate");
  assertEquals(bench.seen(bench.connect({ ...CERTIFICATE, commonName: "carol" })), "unauthenticated");
  assertEquals(bench.seen(bench.connect({ ...CERTIFICATE, commonName: "" })), "unauthenticated");
  const problem = "it is expired";
  assertEquals(bench.seen(bench.connect({ ...CERTIFICATE, problem })), "unauthenticated");
  const certificates = [null, { ...CERTIFICATE, commonName: "carol" }, { ...CERTIFICATE, problem }];
  assertEquals(
    certificates.map((certificate) => bench.connect(certificate).certificateName),
    [null, "carol", null],
    "the audit log names a valid one alone",
  );
});

Deno.test("ConnectionIdentity: a certificate that expires while its connection lives ends it as an identity", () => {
  const bench = new Bench();
  const identity = bench.connect(CERTIFICATE);
  assertEquals(bench.seen(identity), "alice by certificate");
  bench.nowMs = CERTIFICATE.notAfterMs - 1;
  assertEquals(bench.seen(identity), "alice by certificate");
  bench.nowMs = CERTIFICATE.notAfterMs;
  assertEquals(bench.seen(identity), "unauthenticated");
  assertEquals(
    identity.refusal().message,
    "Cannot serve: the certificate of user alice has expired. Connect with a renewed one.",
  );
});

Deno.test("ConnectionIdentity: a user of the certificate's name that is removed, or added later, counts at once", () => {
  const bench = new Bench();
  const identity = bench.connect(CERTIFICATE);
  const first = identity.user(bench.auth)?.userId;
  bench.auth.change({ kind: "removeUser", user: "alice" });
  assertEquals(bench.seen(identity), "unauthenticated");
  bench.auth.change({ kind: "addUser", user: "alice", password: null });
  assertEquals(bench.seen(identity), "alice by certificate");
  assertEquals(identity.user(bench.auth)?.userId === first, false, "another user");
});

Deno.test("ConnectionIdentity: a sign-in replaces the certificate, and when it ends the certificate does not count again", () => {
  const bench = new Bench();
  const identity = bench.connect(CERTIFICATE);
  bench.signIn(identity, "bob");
  assertEquals(bench.seen(identity), "bob by password");
  bench.auth.change({ kind: "setPassword", user: "bob", password: passwordHash("new") });
  assertEquals(bench.seen(identity), "unauthenticated");
  bench.auth.change({ kind: "addRole", role: "any" });
  assertEquals(bench.seen(identity), "unauthenticated");
  bench.signIn(identity, "bob");
  assertEquals(bench.seen(identity), "bob by password");
});

Deno.test("ConnectionIdentity: the rights and the identity are those of the present state", () => {
  const bench = new Bench();
  const identity = bench.connect(CERTIFICATE);
  const key = new TextEncoder().encode("key");
  const rights = (): readonly unknown[] => {
    const user = identity.user(bench.auth);
    return [user?.rights.allows("read", key), user?.identity.authRevision];
  };
  assertEquals(rights(), [false, 2]);
  bench.auth.change({ kind: "addRole", role: "readers" });
  bench.auth.change({
    kind: "addGrant",
    role: "readers",
    grant: { right: "read", keys: { kind: "key", key } },
  });
  bench.auth.change({ kind: "grantRole", user: "alice", role: "readers" });
  assertEquals(rights(), [true, 5]);
  bench.auth.change({ kind: "revokeRole", user: "alice", role: "readers" });
  assertEquals(rights(), [false, 6]);
});

Deno.test("ConnectionIdentity: a connection that signs in as no user has none, also with a certificate", () => {
  const bench = new Bench();
  const identity = bench.connect(CERTIFICATE);
  identity.signOut();
  assertEquals(bench.seen(identity), "unauthenticated");
  bench.auth.change({ kind: "addUser", user: "carol", password: passwordHash("c") });
  assertEquals(bench.seen(identity), "unauthenticated", "after a change of users");
  bench.signIn(identity, "bob");
  assertEquals(bench.seen(identity), "bob by password");
  identity.signOut();
  assertEquals(bench.seen(identity), "unauthenticated");
});
