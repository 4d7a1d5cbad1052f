/** Keys and values as histories write them: texts with one character, of code 0 … 255, for each byte. */

/** The text for some bytes. */
export function textOfBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** The bytes of such a text. */
export function bytesOfText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let position = 0; position < bytes.length; position++) bytes[position] = text.charCodeAt(position);
  return bytes;
}
