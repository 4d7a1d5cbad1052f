/** A real terminal in tmux: it runs a program, types keys, and reads the screen. */
import { eventually } from "../eventually.ts";
import { Process, runs } from "./process.ts";

const COLUMNS = 100;
const ROWS = 50;

/** Whether tmux is installed. */
export function hasTmux(): boolean {
  return runs("tmux", "-V");
}

/** Options of a terminal. */
export interface TerminalOptions {
  /** Working directory of the program; the terminal's socket is there too. */
  readonly cwd: string;
  /** The program and its arguments. */
  readonly command: readonly string[];
}

/** A terminal with a program in it. When the program ends, the screen says `ended with` and its exit code. */
export class Terminal implements AsyncDisposable {
  static #opened = 0;
  readonly #cwd: string;
  /** Another one for each terminal: the server of the one before may be ending still. */
  readonly #socket: string;

  private constructor(cwd: string) {
    this.#cwd = cwd;
    this.#socket = `${cwd}/tmux-${++Terminal.#opened}.socket`;
  }

  /** Opens a terminal with a separate tmux server, independent of the user's own. */
  static async open({ cwd, command }: TerminalOptions): Promise<Terminal> {
    const terminal = new Terminal(cwd);
    const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    const size = ["-x", `${COLUMNS}`, "-y", `${ROWS}`];
    const script = `unset NO_COLOR; ${quoted}; echo "ended with $?"; exec cat`;
    await terminal.#tmux("-f", "/dev/null", "new-session", "-d", ...size, script);
    return terminal;
  }

  /** Presses keys, named as tmux names them: `C-c`, `Tab`, `Up`. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux("send-keys", ...keys);
  }

  /** Types text as it is. */
  async type(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", text);
  }

  /** The lines on the screen, without the empty ones below. */
  async screen(): Promise<string> {
    return (await this.#tmux("capture-pane", "-p")).trimEnd();
  }

  /** Waits until the screen matches; returns its text. */
  async waitFor(pattern: RegExp): Promise<string> {
    return await this.waitUntil(`${pattern}`, (screen) => pattern.test(screen));
  }

  /** Waits until a test of the screen holds; returns the screen. `what` is shown if it does not. */
  async waitUntil(what: string, holds: (screen: string) => boolean): Promise<string> {
    let shown = "";
    return await eventually(`the screen shows ${what}`, async () => {
      shown = await this.screen();
      return holds(shown) ? shown : null;
    }, { explain: () => shown });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux("kill-server");
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    await using process = Process.start("tmux", ["-u", "-S", this.#socket, ...args], {
      cwd: this.#cwd,
      name: "tmux",
    });
    const { code, stdout, stderr } = await process.end();
    if (code !== 0) throw new Error(`tmux ${args[0]} ended with ${code}: ${stderr}`);
    return stdout;
  }
}
