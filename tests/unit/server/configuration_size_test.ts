/** What the wire lets in as a configuration, a snapshot's header can hold. */
import { assert } from "@std/assert";
import { encodeConfiguration } from "../../../lib/protocol/configuration.ts";
import { MAX_MEMBERS, MAX_REMOVED_IDS } from "../../../lib/protocol/limits.ts";
import { foundingConfiguration } from "../../../lib/server/membership/members.ts";
import { MAX_SNAPSHOT_CONFIGURATION_BYTES } from "../../../lib/storage/snapshot/format.ts";

Deno.test("the largest configuration, with as many spent ids as may be, fits into the header of a snapshot", () => {
  const first = Number.MAX_SAFE_INTEGER - MAX_REMOVED_IDS - MAX_MEMBERS;
  const host = "h123456789.".repeat(22);
  const founded = foundingConfiguration(
    Array.from(
      { length: 7 },
      (_, position) => ({ id: first + position, address: `${host}${position}:65535` }),
    ),
  );
  const learners = Array.from({ length: MAX_MEMBERS - 7 }, (_, position) => ({
    id: first + 7 + position,
    address: `${host}l${position}:65535`,
    dataId: 2 ** 48 - 1,
    autoPromote: true,
    replaces: null,
  }));
  const removedIds = Array.from({ length: MAX_REMOVED_IDS }, (_, position) => first + MAX_MEMBERS + position);
  const bytes = encodeConfiguration({
    confState: { ...founded.confState, learners: learners.map(({ id }) => id) },
    members: [...founded.members, ...learners],
    removedIds,
  });
  assert(bytes.length > 64 * 1024, "it is a large one");
  assert(bytes.length <= MAX_SNAPSHOT_CONFIGURATION_BYTES, `${bytes.length} bytes`);
});
