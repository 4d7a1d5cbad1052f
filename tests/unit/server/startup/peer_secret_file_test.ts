/** The file of the peer secret: its text, its errors, and a new content while a server runs. */
import { assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../../../lib/server/config/config_file.ts";
import {
  PEER_SECRET_CHECK_MS,
  PEER_SECRET_SETTLE_MS,
  PeerSecretFile,
  peerSecretsOf,
} from "../../../../lib/server/startup/peer_secret_file.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";

const [A, B, C] = ["a", "b", "c"].map((letter) => letter.repeat(32)) as [string, string, string];

Deno.test("peerSecretsOf: one secret or two, one a line, without the space around them", () => {
  assertEquals(peerSecretsOf(A), [A]);
  assertEquals(peerSecretsOf(`\n  ${A}\r\n\n${B}\n`), [A, B]);
});

Deno.test("peerSecretsOf: a short, long, repeated or third secret is refused, and no message has any of it", () => {
  const table = [
    ["", "it has no secret"],
    ["\n \n", "it has no secret"],
    [`${A}\nshort-one`, "line 2 has 9 characters, and a secret has at least 32"],
    ["x".repeat(31), "line 1 has 31 characters, and a secret has at least 32"],
    ["x".repeat(257), "line 1 has more than 256 characters"],
    [`${A} ${B}`, "line 1 has spaces, or characters that are not of ASCII"],
    [`\n${"é".repeat(40)}`, "line 2 has spaces, or characters that are not of ASCII"],
    [`${A}\n${A}`, "line 2 repeats another line"],
    [`${A}\n${B}\n${C}`, "it has 3 secrets, and may have 2"],
  ] as const;
  for (const [text, reason] of table) {
    assertEquals(assertThrows(() => peerSecretsOf(text), Error).message, reason);
  }
});

/** A file whose content a test changes, and the secrets that were reported. */
class Scene {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly reported: (readonly string[])[] = [];
  /** The content; null for a file that is missing. */
  text: string | null = A;

  open(): PeerSecretFile {
    const { clock, logger } = this;
    const file = new PeerSecretFile("peer.secret", {
      config: { peerSecretFile: "peer.secret", peerAuth: "require", allowGroupReadableKeys: false },
      clock,
      logger,
      readPrivateFile: () => {
        if (this.text === null) throw new Error("there is no such file");
        return this.text;
      },
    });
    file.watch((secrets) => void this.reported.push(secrets));
    return file;
  }

  /** Lets the file be checked, and a new content settle. */
  check(): void {
    this.clock.advance(PEER_SECRET_CHECK_MS);
    this.clock.advance(PEER_SECRET_SETTLE_MS);
  }
}

Deno.test("PeerSecretFile: a file that cannot be used is a wrong flag, with a command that makes one", () => {
  const scene = new Scene();
  scene.text = null;
  assertEquals(
    assertThrows(() => scene.open(), ConfigError).message,
    "--peer-secret-file: cannot use peer.secret: there is no such file. Allowed: a file that only its owner may read, " +
      "with one secret of at least 32 characters, or two, one a line. Example: (umask 077; kvraft secret new > peer.secret)",
  );
});

Deno.test("PeerSecretFile: a new content is reported once, and only after it has stayed the same for a moment", () => {
  const scene = new Scene();
  const file = scene.open();
  // An editor writes the second line in two steps.
  scene.text = `${A}\n${"b".repeat(32)}`;
  scene.clock.advance(PEER_SECRET_CHECK_MS);
  scene.text = `${A}\n${"b".repeat(40)}`;
  scene.clock.advance(PEER_SECRET_SETTLE_MS);
  assertEquals(scene.reported, []);
  scene.clock.advance(PEER_SECRET_SETTLE_MS);
  assertEquals(scene.reported, [[A, "b".repeat(40)]]);
  scene.check();
  assertEquals(scene.reported.length, 1);
  file.close();
  assertEquals(scene.clock.timerCount, 0);
});

Deno.test("PeerSecretFile: a content that cannot be used changes nothing, and is logged once for each reason", () => {
  const scene = new Scene();
  const file = scene.open();
  for (const text of [null, "too short", `${B}\n${B}`]) {
    scene.text = text;
    scene.check();
    scene.check();
  }
  assertEquals(scene.reported, []);
  assertEquals(scene.logger.lines.map(({ level, fields }) => [level, fields["reason"]]), [
    ["error", "there is no such file"],
    ["error", "line 1 has spaces, or characters that are not of ASCII"],
    ["error", "line 2 repeats another line"],
  ]);
  scene.text = B;
  scene.check();
  assertEquals(scene.reported, [[B]]);
  file.close();
});
