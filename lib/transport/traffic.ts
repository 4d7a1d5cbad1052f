/** Bytes that went over connections, counted where they are read and written. */

/** Counts bytes of any number of connections. */
export class Traffic {
  /** Bytes that were read. */
  bytesIn = 0;
  /** Bytes that were written. */
  bytesOut = 0;
}
