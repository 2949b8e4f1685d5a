/** Our names of properties (MQTT 5, section 2.2.2) as the broker's packet library has them. Pure. */
import type { Properties } from './properties.ts';

export function wireProperties(properties: Properties): Record<string, unknown> | undefined {
  const wire: Record<string, unknown> = {};
  if (properties.payloadFormat !== undefined) wire.payloadFormatIndicator = properties.payloadFormat === 1;
  if (properties.messageExpiry !== undefined) wire.messageExpiryInterval = properties.messageExpiry;
  if (properties.contentType !== undefined) wire.contentType = properties.contentType;
  if (properties.responseTopic !== undefined) wire.responseTopic = properties.responseTopic;
  if (properties.correlationData !== undefined) wire.correlationData = properties.correlationData;
  if (properties.userProperty) {
    const users: Record<string, string[]> = Object.create(null);
    for (const [name, value] of properties.userProperty) users[name] = [...(users[name] ?? []), value];
    wire.userProperties = users;
  }
  return Object.keys(wire).length === 0 ? undefined : wire;
}
