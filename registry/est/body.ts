/**
 * The bodies of EST: DER in base64, whatever `Content-Transfer-Encoding` says or does not say, with line breaks or
 * without (RFC 8951, section 3.1).
 */
import type { EstAsk } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';

const requestType = 'application/pkcs10';
const lineLength = 64;

/** DER of the CSR in a request. Faults `unsupported-media-type`, `csr-too-large`, `csr-malformed`. */
export function csrOf({ contentType, body }: Pick<EstAsk, 'contentType' | 'body'>, maxBytes: number): Buffer {
  const type = (contentType ?? '').split(';', 1)[0]!.trim().toLowerCase();
  if (type !== requestType)
    throw new Fault('unsupported-media-type', `A CSR is sent as "Content-Type: ${requestType}".`);
  // Base64 is a third longer than DER, and breaks lines: judged before it is decoded.
  if (body.length > maxBytes * 1.5) throw tooLarge(maxBytes);
  const base64 = body.replace(/[\r\n\t ]+/g, '');
  if (base64 === '' || base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw new Fault(
      'csr-malformed',
      'The body is the DER of a PKCS #10 request in base64: a PEM file without its first and last line.',
    );
  }
  const der = Buffer.from(base64, 'base64');
  if (der.length > maxBytes) throw tooLarge(maxBytes);
  return der;
}

const tooLarge = (bytes: number) =>
  new Fault('csr-too-large', `A CSR has at most ${bytes} bytes of DER here.`);

/** Base64 in lines that every decoder takes, `openssl base64 -d` among them, which refuses long ones. */
export function base64Lines(der: Buffer): string {
  const text = der.toString('base64');
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += lineLength) lines.push(text.slice(at, at + lineLength));
  return `${lines.join('\n')}\n`;
}
