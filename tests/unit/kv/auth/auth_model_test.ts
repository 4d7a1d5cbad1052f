/** Property tests of users, roles and tokens against a model. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type AuthState, RIGHTS } from "../../../../lib/kv/mod.ts";
import { StateMachine } from "../../../../lib/kv/state_machine.ts";
import { keyText } from "../../../../lib/kv/keys.ts";
import { anyChange, anyKey, AuthReplica } from "./support.ts";
import { NaiveAuth } from "./naive_auth.ts";

/** Returns the users and roles in the form of the model. */
function contentsOf(auth: AuthState): unknown {
  const { enabled, revision, users, roles } = auth.view();
  return {
    enabled,
    revision,
    users: users.map(({ id, name, password, passwordRevision, roles, tokens }) => ({
      id,
      name,
      hasPassword: password !== null,
      passwordRevision,
      tokens: tokens.map(({ name, credential, hash, expiresAtMs }) => ({
        name,
        credential,
        hash: hash.toHex(),
        expires: expiresAtMs !== null,
      })),
      roles: [...roles],
    })),
    roles: roles.map(({ name, grants }) => ({
      name,
      grants: grants.map(({ right, keys }) =>
        keys.kind === "key"
          ? `${right} ${keys.key.toHex()}`
          : `${right} ${keys.start.toHex()}-${keys.end?.toHex() ?? "end"}`
      ).sort(),
    })),
  };
}

Deno.test("AuthState: any changes give the results, users, rights and credentials of the model", () => {
  const changes = fc.array(anyChange(), { maxLength: 60 });
  fc.assert(
    fc.property(changes, anyKey(), (all, key) => {
      const [replica, model] = [new AuthReplica(), new NaiveAuth()];
      for (const change of all) {
        // Without a session and a user: commands are refused while authentication is enabled, changes of the state are not.
        const { auth } = replica.machine;
        assertEquals(auth.change(change), model.change(change));
        const { revision } = auth;
        for (let userId = 1; userId <= revision; userId++) {
          const rights = auth.rightsOf(userId);
          for (const right of RIGHTS) {
            assertEquals(rights.allows(right, key), model.allows(userId, right, key));
          }
          for (let credential = 0; credential <= revision; credential++) {
            const identity = { userId, credential };
            assertEquals(auth.holds(identity), model.holds(identity));
          }
        }
      }
      assertEquals(contentsOf(replica.machine.auth), model.contents());
    }),
  );
});

Deno.test("StateMachine: users that are restored from the records of a view are the same, and go on alike", () => {
  const changes = fc.array(anyChange(), { maxLength: 30 });
  fc.assert(
    fc.property(changes, changes, (before, after) => {
      const replica = new AuthReplica();
      for (const change of before) replica.machine.auth.change(change);
      const restored = StateMachine.restore(replica.records());
      assertEquals([...restored.snapshot().records()], replica.records());
      for (const change of after) {
        assertEquals(restored.auth.change(change), replica.machine.auth.change(change));
      }
      assertEquals([...restored.snapshot().records()], replica.records());
    }),
  );
});

Deno.test("AuthState: a view does not change with the state", () => {
  fc.assert(
    fc.property(
      fc.array(anyChange(), { maxLength: 30 }),
      fc.array(anyChange(), { maxLength: 30 }),
      (a, b) => {
        const replica = new AuthReplica();
        for (const change of a) replica.machine.auth.change(change);
        const before = replica.records();
        using view = replica.machine.snapshot();
        for (const change of b) replica.machine.auth.change(change);
        assertEquals([...view.records()], before);
      },
    ),
  );
});

Deno.test("AuthState: every token is found by its hash, and no token that was revoked", () => {
  fc.assert(
    fc.property(fc.array(anyChange(), { maxLength: 60 }), (all) => {
      const { auth } = new AuthReplica().machine;
      for (const change of all) auth.change(change);
      const tokens = auth.view().users.flatMap((user) => user.tokens);
      for (const token of tokens) assertEquals(auth.tokenByHash(token.hash), token);
      assertEquals(auth.tokenCount, new Set(tokens.map(({ hash }) => keyText(hash))).size);
    }),
  );
});
