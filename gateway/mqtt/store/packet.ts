/** A message as the broker hands it to its store, and as columns. Pure. */

export interface BrokerPacket {
  cmd: string;
  topic: string;
  /** Text only in tests of the broker's library. */
  payload: Buffer | string;
  qos: number;
  retain: boolean;
  dup?: boolean;
  brokerId?: string | null;
  brokerCounter?: number;
  messageId?: number | undefined;
  properties?: Record<string, unknown> | undefined;
  /** When it expires, in milliseconds since 1970. */
  messageExpiry?: number | undefined;
  /** Of whom it is: for No Local. */
  clientId?: string | undefined;
}

/** Properties as JSON; the only one that is bytes is `correlationData`. */
export function propertiesText(properties: Record<string, unknown> | undefined): string | null {
  if (properties === undefined) return null;
  const { correlationData, ...rest } = properties;
  const bytes = Buffer.isBuffer(correlationData)
    ? { correlationData: correlationData.toString('base64') }
    : {};
  return JSON.stringify({ ...rest, ...bytes });
}

export function propertiesOf(text: string | null): Record<string, unknown> | undefined {
  if (text === null) return undefined;
  const properties = JSON.parse(text) as Record<string, unknown>;
  if (typeof properties.correlationData === 'string')
    properties.correlationData = Buffer.from(properties.correlationData, 'base64');
  return properties;
}

/** Bytes that a message counts against limits. */
export const sizeOf = (topic: string, payload: Buffer | string, properties: string | null): number =>
  topic.length + payload.length + (properties?.length ?? 0);
