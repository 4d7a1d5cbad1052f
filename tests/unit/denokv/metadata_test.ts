/** The metadata exchange in exactly the form of its specification, and the tokens that it gives. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { createDataToken, DataTokens } from "../../../lib/denokv/data_tokens.ts";
import { encodeMetadata, METADATA_LIFETIME_MS, negotiateVersion } from "../../../lib/denokv/metadata.ts";
import { WebError } from "../../../lib/web/mod.ts";

const DATABASE = {
  id: 7,
  name: "orders",
  uuid: "0b9e3f4e-8a6c-4d5e-9f00-1234567890ab",
  signingKey: new Uint8Array(32).fill(9),
};
const NOW_MS = Date.UTC(2026, 10, 30, 12);

function body(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

Deno.test("metadata: the answer has the fields of the specification and no other, in their form", () => {
  const facts = {
    version: 3,
    database: DATABASE,
    credentialId: 4,
    endpoint: "./orders/kv",
    nowMs: NOW_MS,
  } as const;
  const { token, ...rest } = JSON.parse(encodeMetadata(facts));
  assertEquals(rest, {
    version: 3,
    databaseId: DATABASE.uuid,
    endpoints: [{ url: "./orders/kv", consistency: "strong" }],
    expiresAt: "2026-12-01T12:00:00.000Z",
  });
  assertEquals(new DataTokens().verify(token, () => DATABASE), {
    databaseId: 7,
    credentialId: 4,
    expiresAtMs: NOW_MS + METADATA_LIFETIME_MS,
  });
  assert(JSON.parse(encodeMetadata(facts)).token !== token, "each answer has a token of its own");
});

Deno.test("metadata: the highest version that both speak is chosen, and 1 without a body", () => {
  const versions = [
    '{"supportedVersions":[1,2,3]}',
    '{"supportedVersions":[2, 1]}',
    '{"supportedVersions":[1,9]}',
    "",
  ];
  assertEquals(versions.map((text) => negotiateVersion(body(text))), [3, 2, 1, 1]);
});

Deno.test("metadata: a body that is no list of known versions is answered 400", () => {
  for (const text of ["x", "{}", "null", '{"supportedVersions":3}', '{"supportedVersions":[4]}', "[1]"]) {
    assertEquals(assertThrows(() => negotiateVersion(body(text)), WebError).status, 400);
  }
  assertThrows(() => negotiateVersion(Uint8Array.of(0x22, 0xff, 0x22)), WebError, "is not JSON");
});

Deno.test("DataTokens: a token that was changed anywhere, or that another key signed, is refused", () => {
  const token = createDataToken(DATABASE, { credentialId: 4, expiresAtMs: NOW_MS });
  const verify = (text: string): unknown => new DataTokens().verify(text, () => DATABASE);
  for (let position = 0; position < token.length; position++) {
    const changed = token[position] === "A" ? "B" : "A";
    assertEquals(verify(token.slice(0, position) + changed + token.slice(position + 1)), null);
  }
  for (
    const text of ["", "v1.", token.slice(0, -1), `${token}A`, ` ${token.slice(1)}`, "x".repeat(token.length)]
  ) {
    assertEquals(verify(text), null);
  }
  const other = { ...DATABASE, signingKey: new Uint8Array(32) };
  assertEquals(new DataTokens().verify(token, () => other), null);
  assertEquals(new DataTokens().verify(token, () => null), null);
});

Deno.test("DataTokens: a remembered token is refused once its database was removed or has another key", () => {
  const tokens = new DataTokens();
  const token = createDataToken(DATABASE, { credentialId: 0, expiresAtMs: NOW_MS });
  const content = { databaseId: 7, credentialId: 0, expiresAtMs: NOW_MS };
  assertEquals(tokens.verify(token, () => DATABASE), content);
  assertEquals(
    tokens.verify(token, () => ({ ...DATABASE, signingKey: DATABASE.signingKey.slice() })),
    content,
  );
  assertEquals(tokens.verify(token, () => ({ ...DATABASE, signingKey: new Uint8Array(32) })), null);
  assertEquals(tokens.verify(token, () => DATABASE), content);
  assertEquals(tokens.verify(token, () => null), null);
});
