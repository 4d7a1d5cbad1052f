/** Text that came from outside (another node, a client, a file, a flag), as far as a message may quote it. */

/** Characters of a piece of foreign text that a message quotes; the rest is cut. */
export const MAX_FOREIGN_CHARACTERS = 200;
/** Characters of a whole message that another node wrote and this one passes on; the rest is cut. */
export const MAX_FOREIGN_MESSAGE_CHARACTERS = 2_000;

/**
 * Returns the text itself, or its beginning with a note of how long it was. Every message that quotes foreign text goes
 * through here: what others send must not decide how large an answer or a log line becomes.
 */
export function shortened(text: string, maxCharacters = MAX_FOREIGN_CHARACTERS): string {
  if (text.length <= maxCharacters) return text;
  // Not through the middle of a surrogate pair: half of one is no text.
  const isPairCut = /[\uD800-\uDBFF]/.test(text.charAt(maxCharacters - 1));
  const kept = text.slice(0, isPairCut ? maxCharacters - 1 : maxCharacters);
  return `${kept}… (${text.length} characters)`;
}
