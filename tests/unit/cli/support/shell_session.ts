/** A shell on streams in memory: its typist, and the screen. */
import { HistoryFile } from "../../../../lib/cli/shell/history_file.ts";
import { runShell } from "../../../../lib/cli/shell/shell.ts";
import type { StoreClient } from "../../../../lib/cli/command.ts";
import { eventually, within } from "../../../support/eventually.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { FakeEnvironment } from "./fake_environment.ts";
import { FakeStore } from "./fake_store.ts";

const CTRL_D = "\x04";

/** A shell that runs, its typist and its screen. */
export class ShellSession {
  readonly environment = new FakeEnvironment({ input: null, terminal: true });
  readonly ended: Promise<void>;
  /** The users who have signed in, with the passwords they have typed, and the answers to them. */
  readonly signIns: string[] = [];
  readonly #afterSignIn: StoreClient | Error;
  #sent = "";

  constructor(readonly store: FakeStore = new FakeStore(), afterSignIn: StoreClient | Error = store) {
    this.#afterSignIn = afterSignIn;
    this.environment.terminal.output.on(
      "data",
      (chunk: Uint8Array) => void (this.#sent += new TextDecoder().decode(chunk)),
    );
    this.ended = runShell({
      environment: this.environment,
      client: store,
      connect: () => Promise.resolve(store),
      signIn: ({ user, password }) => {
        this.signIns.push(`${user}:${password}`);
        const after = this.#afterSignIn;
        return after instanceof Error ? Promise.reject(after) : Promise.resolve(after);
      },
      history: HistoryFile.open("/history", this.environment),
      output: "text",
      timeoutMs: null,
      commandLine: () => "kvraft client --cluster 127.0.0.1:7001",
      origin: "--cluster",
    });
  }

  /** Everything that was sent to the screen, without control sequences. */
  get screen(): string {
    // deno-lint-ignore no-control-regex -- control sequences are what is taken out
    return this.#sent.replace(/\x1b\[[0-9;]*[A-Za-z]/g, "").replaceAll("\r\n", "\n");
  }

  /** Returns the part of the screen after `mark`, an earlier length of `screen`. */
  since(mark: number): string {
    return this.screen.slice(mark);
  }

  async type(keys: string): Promise<void> {
    this.environment.terminal.input.write(keys);
    await settle();
  }

  async shows(text: string): Promise<void> {
    await eventually(`the screen shows ${text}`, () => this.screen.includes(text) ? true : null, {
      explain: () => JSON.stringify(this.screen),
    });
  }

  async leave(): Promise<void> {
    await this.type(CTRL_D);
    await within("the shell ends", this.ended, { explain: () => JSON.stringify(this.screen) });
  }
}
