/** The settings of a client that matter to a server (RFC 9113 §6.5). */
import {
  ConnectionError,
  DEFAULT_WINDOW_BYTES,
  ERROR,
  MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  SETTING,
} from "./protocol.ts";

const SETTING_BYTES = 6;
const LARGEST_MAX_FRAME_BYTES = 0xff_ffff;

/** Settings of a client, with their defaults. */
export class PeerSettings {
  /** Window of new streams. */
  initialWindowBytes = DEFAULT_WINDOW_BYTES;
  /** Largest dynamic table; null while the client has not limited it. */
  headerTableBytes: number | null = null;

  /** Takes the payload of a SETTINGS frame. Throws {@link ConnectionError}. */
  apply(payload: Uint8Array): void {
    if (payload.length % SETTING_BYTES !== 0) {
      throw new ConnectionError(ERROR.frameSizeError, "settings have 6 bytes each");
    }
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    for (let at = 0; at < payload.length; at += SETTING_BYTES) {
      this.#set(view.getUint16(at), view.getUint32(at + 2));
    }
  }

  #set(setting: number, value: number): void {
    if (setting === SETTING.headerTableSize) {
      this.headerTableBytes = Math.min(value, this.headerTableBytes ?? value);
    } else if (setting === SETTING.enablePush && value > 1) {
      throw new ConnectionError(ERROR.protocolError, "SETTINGS_ENABLE_PUSH is 0 or 1");
    } else if (setting === SETTING.initialWindowSize) {
      if (value > MAX_WINDOW_BYTES) {
        throw new ConnectionError(ERROR.flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is at most 2^31-1");
      }
      this.initialWindowBytes = value;
    } else if (
      setting === SETTING.maxFrameSize && (value < MAX_FRAME_BYTES || value > LARGEST_MAX_FRAME_BYTES)
    ) {
      throw new ConnectionError(ERROR.protocolError, "SETTINGS_MAX_FRAME_SIZE is 16,384 to 16,777,215");
    }
  }
}
