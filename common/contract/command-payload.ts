/**
 * Payloads in JSON documents: a text or a JSON value as `payload`, other bytes as `payloadBase64`. What is sent as a text
 * arrives as these bytes; any other value arrives as its JSON.
 */
import { isUtf8 } from 'node:buffer';
import { Fault } from '../fault.ts';

export type PayloadFields = { readonly payload: unknown } | { readonly payloadBase64: string };

export interface Payload {
  readonly bytes: Buffer;
  readonly contentType: string;
}

const isJson = (contentType: string): boolean => /^application\/([a-z0-9.+-]*\+)?json\b/i.test(contentType);

/** The bytes that a document asks for. Faults `malformed` when it names both forms, or base64 that is none. */
export function payloadOf(asked: {
  readonly payload?: unknown;
  readonly payloadBase64?: string;
  readonly contentType?: string;
}): Payload {
  const { payload, payloadBase64, contentType } = asked;
  if (payloadBase64 !== undefined) {
    if (payload !== undefined) throw new Fault('malformed', 'Give payload or payloadBase64, not both.');
    const bytes = Buffer.from(payloadBase64, 'base64');
    if (bytes.toString('base64').replace(/=+$/, '') !== payloadBase64.replace(/=+$/, ''))
      throw new Fault('malformed', 'payloadBase64 is not base64 (RFC 4648, section 4).');
    return { bytes, contentType: contentType ?? 'application/octet-stream' };
  }
  if (payload === undefined) return { bytes: Buffer.alloc(0), contentType: contentType ?? '' };
  if (typeof payload === 'string')
    return { bytes: Buffer.from(payload), contentType: contentType ?? 'text/plain; charset=utf-8' };
  return { bytes: Buffer.from(JSON.stringify(payload)), contentType: contentType ?? 'application/json' };
}

/** The bytes as a document holds them: JSON as a value, other text as text, the rest in base64. */
export function payloadFields(bytes: Buffer, contentType: string): PayloadFields {
  if (!isUtf8(bytes)) return { payloadBase64: bytes.toString('base64') };
  const text = bytes.toString('utf8');
  if (!isJson(contentType)) return { payload: text };
  try {
    return { payload: JSON.parse(text) };
  } catch {
    // It says JSON and is none: as the device wrote it.
    return { payload: text };
  }
}
