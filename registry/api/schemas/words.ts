/** The words that the schemas of the registry API are written in: ids, times, pages, problems, receipts. */
import Type, { type TSchema } from 'typebox';
import { byteWindowPattern, messageWindowPattern, mostWindows } from '#common/contract/message-limits.ts';
import { revocationReasons } from '../../authority/revocation-reason.ts';

export const closed = { additionalProperties: false };

export const words = (list: readonly string[]) => Type.String({ enum: [...list] });

export const time = Type.String({ format: 'date-time' });

/** Null first: the other way about a null in a body would be taken for an empty text. */
export const nullable = <T extends TSchema>(schema: T) => Type.Union([Type.Null(), schema]);

export const deviceId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$' });

export const fleetId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' });

export const fingerprint = Type.String({ pattern: '^[0-9A-Fa-f:]{64,95}$' });

export const attributes = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
  Type.String({ maxLength: 256 }),
  {
    maxProperties: 32,
    additionalProperties: false,
  },
);

const windows = (pattern: string, example: string) =>
  Type.Optional(Type.Array(Type.String({ pattern, examples: [example] }), { maxItems: mostWindows }));

/** How much may be sent. */
export const messageLimits = Type.Object(
  { messages: windows(messageWindowPattern, '100/s'), bytes: windows(byteWindowPattern, '1MiB/s') },
  {
    ...closed,
    description:
      'How much a device may send, in several windows at once. Of messages and of bytes what the device says counts, else its fleet, else its role; an empty list lifts what they say.',
  },
);

export const reason = words(revocationReasons);

export const problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String(),
    detail: Type.String(),
  },
  { description: 'RFC 9457; `code` is stable.' },
);

export const page = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), nextCursor: nullable(Type.String()) });

export const paging = {
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
  cursor: Type.Optional(Type.String({ maxLength: 128 })),
};

export const closedSessions = Type.Array(
  Type.Object({
    protocol: Type.String(),
    gateway: Type.String(),
    address: Type.String(),
    closedAfterMs: Type.Number(),
  }),
);

export const receipt = Type.Object({
  changeId: Type.Integer(),
  certificates: Type.Array(Type.String()),
  sessions: closedSessions,
  complete: Type.Boolean(),
});
