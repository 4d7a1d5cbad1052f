/**
 * Changes of membership that must be refused. Valid changes, which any client may request, are not tried here.
 */
import type { ValueType } from "@std/msgpack";
import { CHANGE } from "../../../lib/protocol/members.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { address, integer, isHostile, trailing } from "./values.ts";

/** The first unused id: an integer at an edge may be the id of a member, which must not be changed. */
const UNKNOWN_ID = 50;

/** One change. */
export function changeOf(
  { random, members }: { readonly random: SeededRandom; readonly members: readonly number[] },
): ValueType {
  const member = random.pick(members);
  const kind = random.pick(Object.values(CHANGE.numbers));
  switch (kind) {
    case CHANGE.numbers.add:
      return [
        kind,
        random.chance(0.3) ? member : unknownId(random),
        anywhere(random),
        random.chance(0.5),
        ...trailing(random),
      ];
    case CHANGE.numbers.remove:
    case CHANGE.numbers.promote:
    case CHANGE.numbers.demote:
      return [kind, unknownId(random), ...trailing(random)];
    case CHANGE.numbers.replace:
      return [kind, member, unknownId(random), anywhere(random), ...trailing(random)];
    case CHANGE.numbers.update: {
      const whom = random.chance(0.7) ? member : unknownId(random);
      return [kind, whom, address(random), ...trailing(random)];
    }
  }
}

/** Returns an id that no member has. */
export function unknownId(random: SeededRandom): number {
  const id = isHostile(random) ? integer(random, UNKNOWN_ID) : UNKNOWN_ID + random.below(10);
  return id > 0 && id < UNKNOWN_ID ? UNKNOWN_ID : id;
}

/** Returns an address where no node answers, or invalid text: a new node is probed before it is added. */
function anywhere(random: SeededRandom): string {
  return random.chance(0.3) ? "127.0.0.1:1" : address(random);
}
