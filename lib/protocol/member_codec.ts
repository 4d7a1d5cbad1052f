/** The members of a cluster in rare frames: `[[id, address, role]…]`. */
import type { Member, MemberRole } from "./messages.ts";
import type { RareFields } from "./rare_frame.ts";

const MEMBER_ROLES = ["voter", "learner", "leaving"] as const satisfies MemberRole[];

/** The members as elements of a frame. */
export function memberRows(members: readonly Member[]): [number, string, string][] {
  return members.map(({ id, address, role }) => [id, address, role]);
}

/** Takes the members of a cluster. */
export function readMembers(fields: RareFields): readonly Member[] {
  return fields.list("members").map((member) => ({
    id: member.integer("id", 1),
    address: member.string("address"),
    role: readRole(member),
  }));
}

function readRole(fields: RareFields): MemberRole {
  const text = fields.string("role");
  const role = MEMBER_ROLES.find((known) => known === text);
  if (role === undefined) throw fields.error("role", `must be one of ${MEMBER_ROLES.join(", ")}`);
  return role;
}
