/** PasswordChecks: few hashes are computed at a time, few wait, and an unknown user costs what a known one does. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  MAX_HASHING,
  MAX_WAITING_CHECKS,
  MAX_WAITING_CHECKS_PER_SOURCE,
  PasswordChecks,
} from "../../../../lib/server/auth/password_checks.ts";
import { scryptOf, type ScryptParameters } from "../../../../lib/platform/secrets.ts";
import { hashOf, passwordHash } from "../../../support/fakes/auth.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";

const SOURCE = "10.0.0.1";

/** Checks whose hashes end when the test says so. */
class Bench {
  readonly hashing: { readonly parameters: ScryptParameters; readonly end: () => void }[] = [];
  readonly checks = new PasswordChecks((password, parameters) => {
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    this.hashing.push({ parameters, end: () => resolve(hashOf(password, parameters)) });
    return promise;
  });

  /** Ends the hash that was begun first. */
  async end(): Promise<void> {
    this.hashing.shift()?.end();
    await settle();
  }
}

Deno.test("PasswordChecks: only the right password is right, and none where there is no user", async () => {
  const checks = new PasswordChecks((password, parameters) => Promise.resolve(hashOf(password, parameters)));
  const expected = passwordHash("secret");
  assertEquals(await checks.check("secret", expected, SOURCE), {
    kind: "right",
    seed: hashOf("secret", expected),
  });
  assertEquals(await checks.check("Secret", expected, SOURCE), { kind: "wrong" });
  assertEquals(await checks.check("", expected, SOURCE), { kind: "wrong" });
  assertEquals(await checks.check("secret", null, SOURCE), { kind: "wrong" });
});

Deno.test("PasswordChecks: without a user the same work is done as with one", async () => {
  const bench = new Bench();
  const expected = passwordHash("secret");
  void bench.checks.check("a", expected, SOURCE);
  void bench.checks.check("a", null, SOURCE);
  await settle();
  const work = bench.hashing.map((
    { parameters: { cost, blockSize, parallelism, salt } },
  ) => [cost, blockSize, parallelism, salt.length]);
  assertEquals(work, [[32_768, 8, 1, 16], [32_768, 8, 1, 16]]);
});

Deno.test("PasswordChecks: a bounded number is computed at a time, a bounded number waits, others are refused", async () => {
  const bench = new Bench();
  const ended: string[] = [];
  let asked = 0;
  const check = (): void => {
    const source = `10.0.0.${asked++}`;
    void bench.checks.check("a", null, source).then(({ kind }) => ended.push(kind));
  };
  for (let number = 0; number < MAX_HASHING + MAX_WAITING_CHECKS; number++) check();
  await settle();
  assertEquals([bench.hashing.length, bench.checks.isFull, ended], [MAX_HASHING, true, []]);
  check();
  await settle();
  assertEquals(ended, ["busy"]);
  await bench.end();
  assertEquals([bench.hashing.length, bench.checks.hashing], [MAX_HASHING, MAX_HASHING]);
  check();
  while (bench.hashing.length > 0) await bench.end();
  assertEquals(ended.length, MAX_HASHING + MAX_WAITING_CHECKS + 2);
  assertEquals(bench.checks.hashing, 0);
});

Deno.test("PasswordChecks: an address has few of the places, and does not keep the checks of others out", async () => {
  const bench = new Bench();
  const ended: string[] = [];
  const check = (name: string, source: string): void =>
    void bench.checks.check("a", null, source).then(({ kind }) => ended.push(`${name}: ${kind}`));
  for (let number = 0; number < MAX_HASHING + MAX_WAITING_CHECKS; number++) check("many", SOURCE);
  await settle();
  const refused = MAX_WAITING_CHECKS - MAX_WAITING_CHECKS_PER_SOURCE;
  assertEquals(ended.splice(0), Array.from({ length: refused }, () => "many: busy"));
  check("one", "10.0.0.2");
  check("other", "10.0.0.3");
  while (bench.hashing.length > 0) await bench.end();
  const turns = [ended.indexOf("one: wrong"), ended.indexOf("other: wrong")];
  // Those that are computed, one of the first address, and then those of the others.
  assertEquals(turns, [MAX_HASHING + 1, MAX_HASHING + 2]);
  assertEquals(ended.length, MAX_HASHING + MAX_WAITING_CHECKS_PER_SOURCE + 2);
  assertEquals([bench.checks.hashing, bench.checks.isFull], [0, false]);
});

Deno.test("PasswordChecks: a hash that fails is the fault of its check alone", async () => {
  let isBroken = true;
  const checks = new PasswordChecks((password, parameters) =>
    isBroken ? Promise.reject(new Error("no memory")) : Promise.resolve(hashOf(password, parameters))
  );
  await assertRejects(() => checks.check("a", null, SOURCE), Error, "no memory");
  isBroken = false;
  assertEquals((await checks.check("secret", passwordHash("secret"), SOURCE)).kind, "right");
  assertEquals(checks.hashing, 0);
});

Deno.test("scryptOf: it computes the second test vector of RFC 7914", async () => {
  // Of its 64 bytes the first 32: they do not depend on the length.
  const parameters = { cost: 1_024, blockSize: 8, parallelism: 16, salt: new TextEncoder().encode("NaCl") };
  const hash = await scryptOf("password", parameters);
  assertEquals(hash.toHex(), "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162");
});
