/** Mutants of the users of the etcd front end, and of the tickets by which they sign in. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const TICKETS = tests("tickets", "tests/unit/server/auth/sign_ins_test.ts");

/** Mutants of users and tickets. */
export const ETCD_AUTH_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/auth/tickets.ts", [TICKETS], [
    {
      id: "M2840",
      title: "the signature of a ticket is not checked",
      failure: "any client is any user",
      from: "timingSafeEqual(expected, shown) ? user : null",
      to: "timingSafeEqual(expected, expected) ? user : null",
    },
    {
      id: "M2841",
      title: "a ticket is accepted after its password was changed",
      failure: "a password that was changed because it was stolen still serves its thief",
      from: " || user.passwordRevision !== ticket.credential",
      to: "",
    },
  ]),
  ...inFile("lib/server/auth/sign_ins.ts", [TICKETS], [
    {
      id: "M2842",
      title: "a ticket has no end",
      failure: "a ticket in an old log file signs in until the password is changed",
      from: "if (wallClock() >= ticket.issuedAtMs + TICKET_LIFE_MS)",
      to: "if (wallClock() < ticket.issuedAtMs)",
    },
  ]),
];
