/** Reads the configuration of a running server again (SIGHUP), and applies what can change while it runs. */
import type { Logger } from "../../platform/logger.ts";
import { LIVE_SETTINGS, OPTIONS, type ServerConfig } from "../../server/config/config.ts";
import type { InspectedConfig } from "../../server/config/reading.ts";

/** A server's configuration, whose live settings this module changes. */
type RunningConfig = { -readonly [Name in keyof ServerConfig]: ServerConfig[Name] };

/** The configuration of a running server, and its values as text. */
export class LiveConfig {
  readonly config: ServerConfig;
  readonly #running: RunningConfig;
  /** By the names of the options. */
  readonly #values: Map<string, string>;

  constructor(config: ServerConfig, settings: InspectedConfig["settings"]) {
    this.config = this.#running = { ...config };
    this.#values = new Map(settings.map(({ name, value }) => [name, value]));
  }

  /** Applies what was read, and logs each change. Where there are problems, logs them and changes nothing. */
  reload({ config, problems, settings }: InspectedConfig, logger: Logger): void {
    if (config === null) {
      for (const { message } of problems) {
        logger.error("Cannot reload the configuration: nothing has changed", { reason: message });
      }
      return;
    }
    let changes = 0;
    for (const { name, value: to } of settings) {
      const from = this.#values.get(name) ?? "";
      if (from === to) continue;
      changes += 1;
      const change = { setting: name, from, to };
      if (!this.#isLive(name)) {
        logger.warn("A setting has changed and needs a restart", change);
        continue;
      }
      this.#values.set(name, to);
      this.#apply(name, config);
      logger.info("A setting has changed", change);
    }
    if (changes === 0) logger.info("The configuration was read again: no setting has changed");
  }

  #isLive(name: string): boolean {
    // Without a bound of time no timer runs that would see a new one.
    if (name === OPTIONS.historySeconds.name && this.#running.historySeconds === null) return false;
    return LIVE_SETTINGS.some((key) => OPTIONS[key].name === name);
  }

  #apply(name: string, config: ServerConfig): void {
    const key = LIVE_SETTINGS.find((one) => OPTIONS[one].name === name);
    if (key !== undefined) Object.assign(this.#running, { [key]: config[key] });
  }
}
