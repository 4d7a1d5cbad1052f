/** Hashes of passwords and tokens agree with their standards. */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import {
  isSignedBy,
  publicKeyOf,
  scryptOf,
  secretBytes,
  sha256Of,
  signedBy,
} from "../../../lib/platform/secrets.ts";

Deno.test("scryptOf: it is scrypt of RFC 7914, cut to 32 bytes, and takes the cost of a password", async () => {
  const salt = new TextEncoder().encode("NaCl");
  const hash = await scryptOf("password", { cost: 1_024, blockSize: 8, parallelism: 16, salt });
  assertEquals(hash.toHex(), "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162");
  const parameters = { cost: 2 ** 15, blockSize: 8, parallelism: 1, salt };
  assertNotEquals(await scryptOf("a", parameters), await scryptOf("b", parameters));
});

Deno.test("scryptOf: a cost that is no power of two is refused", async () => {
  const parameters = { cost: 1_000, blockSize: 8, parallelism: 1, salt: secretBytes(16) };
  await assertRejects(() => scryptOf("a", parameters), Error);
});

Deno.test("sha256Of: it hashes the UTF-8 of a text", () => {
  assertEquals(sha256Of("abc").toHex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assertEquals(sha256Of("é").toHex(), "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c");
});

Deno.test("secretBytes: they have the length asked for, and differ each time", () => {
  assertEquals([secretBytes(16).length, secretBytes(32).length], [16, 32]);
  assertNotEquals(secretBytes(32), secretBytes(32));
});

Deno.test("publicKeyOf, signedBy: they are Ed25519 of RFC 8032, test 1", () => {
  const seed = Uint8Array.fromHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  const publicKey = publicKeyOf(seed);
  assertEquals(publicKey.toHex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const signature = signedBy(seed, "");
  assertEquals(
    signature.toHex(),
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
  );
  assertEquals([isSignedBy(publicKey, "", signature), isSignedBy(publicKey, "a", signature)], [true, false]);
});

Deno.test("isSignedBy: bytes that are no public key have signed nothing", () => {
  const signature = signedBy(new Uint8Array(32), "a");
  const keys = [
    new Uint8Array(32),
    new Uint8Array(32).fill(255),
    new Uint8Array(32).fill(2),
    new Uint8Array(0),
  ];
  for (const key of keys) assertEquals(isSignedBy(key, "a", signature), false);
});
