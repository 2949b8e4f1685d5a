/** Properties of a PUBLISH in our names and in those of the broker's packet library, both ways. Pure. */
import { noProperties, type Properties } from './properties.ts';

/** As the packet library has them. */
export interface WireProperties {
  payloadFormatIndicator?: boolean;
  messageExpiryInterval?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  userProperties?: Record<string, string | string[]>;
  /** Ours, in the order in which they came, which is to be kept [MQTT-3.3.2-18]; the library's form loses it. */
  userPropertyList?: [string, string][];
}

export function toWire(properties: Properties): WireProperties | undefined {
  const wire: WireProperties = {};
  if (properties.payloadFormat !== undefined) wire.payloadFormatIndicator = properties.payloadFormat === 1;
  if (properties.messageExpiry !== undefined) wire.messageExpiryInterval = properties.messageExpiry;
  if (properties.contentType !== undefined) wire.contentType = properties.contentType;
  if (properties.responseTopic !== undefined) wire.responseTopic = properties.responseTopic;
  if (properties.correlationData !== undefined) wire.correlationData = properties.correlationData;
  if (properties.userProperty !== undefined) wire.userPropertyList = properties.userProperty;
  return Object.keys(wire).length === 0 ? undefined : wire;
}

export function fromWire(wire: WireProperties | undefined): Properties {
  if (wire === undefined) return noProperties;
  const properties: Properties = {};
  if (wire.payloadFormatIndicator !== undefined)
    properties.payloadFormat = wire.payloadFormatIndicator ? 1 : 0;
  if (wire.messageExpiryInterval !== undefined) properties.messageExpiry = wire.messageExpiryInterval;
  if (wire.contentType !== undefined) properties.contentType = wire.contentType;
  if (wire.responseTopic !== undefined) properties.responseTopic = wire.responseTopic;
  // A store may give bytes back as what it has for bytes.
  if (wire.correlationData !== undefined) properties.correlationData = Buffer.from(wire.correlationData);
  if (wire.userPropertyList) properties.userProperty = wire.userPropertyList;
  else if (wire.userProperties) {
    properties.userProperty = Object.entries(wire.userProperties).flatMap(([name, values]) =>
      [values].flat().map((value): [string, string] => [name, value]),
    );
  }
  return properties;
}
