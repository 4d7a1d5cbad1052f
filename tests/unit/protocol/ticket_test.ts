/** Tests of the text of tickets. */
import { assertEquals } from "@std/assert";
import { formatTicket, readTicket } from "../../../lib/protocol/ticket.ts";

const SIGNATURE = "AbC-_".padEnd(85, "x").concat("A");
const TICKET = { userId: 7, credential: 12, issuedAtMs: 1_700_000_000_000, signature: SIGNATURE };
const TEXT = `kve_7.12.1700000000000.${SIGNATURE}`;

Deno.test("ticket: what is written is read", () => {
  assertEquals(formatTicket(TICKET), TEXT);
  assertEquals(readTicket(TEXT), TICKET);
});

Deno.test("ticket: other texts are none, and no ticket has two texts", () => {
  const others = [
    "",
    "kvt_abc",
    "hGHuYeyUKGkQIjis.13",
    `${TEXT}x`,
    TEXT.slice(0, -1),
    `${TEXT.slice(0, -1)}B`,
    TEXT.replace("kve_7", "kve_07"),
    TEXT.replace("kve_7", "kve_-7"),
    TEXT.replace("kve_7", "kve_9007199254740993"),
    TEXT.replace("kve_7", "kve_99999999999999999"),
    TEXT.replace("-_", "+/"),
    ` ${TEXT}`,
    `${TEXT}\n`,
  ];
  for (const text of others) assertEquals([text, readTicket(text)], [text, null]);
});
