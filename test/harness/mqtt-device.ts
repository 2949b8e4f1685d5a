/** A device of the tests: MQTT.js over mutual TLS, with answers as promises and the server's last word kept. */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import type { DeviceIdentity } from './api-client.ts';

export interface Connected {
  client: MqttClient;
  /** Resolves with the DISCONNECT reason code, or null when the connection just ended. */
  closed: Promise<number | null>;
}

/** What a device connects with. */
export type DeviceKeys = Pick<DeviceIdentity, 'id' | 'key' | 'certificate' | 'ca'>;

export const mqttOptions = (
  identity: DeviceKeys,
  port: number,
  options: IClientOptions = {},
): IClientOptions => ({
  host: '127.0.0.1',
  port,
  protocol: 'mqtts',
  key: identity.key,
  cert: identity.certificate,
  ca: identity.ca,
  clientId: identity.id,
  reconnectPeriod: 0,
  protocolVersion: 4,
  connectTimeout: 10_000,
  ...options,
});

/** Connects, or rejects with an error that carries the CONNACK's `code`. */
export function connectDevice(
  identity: DeviceKeys,
  port: number,
  options: IClientOptions = {},
): Promise<Connected> {
  const client = mqtt.connect(mqttOptions(identity, port, options));
  let reason: number | null = null;
  client.on('disconnect', (packet) => {
    reason = packet.reasonCode ?? null;
  });
  const closed = new Promise<number | null>((resolve) => client.once('close', () => resolve(reason)));
  return new Promise((resolve, reject) => {
    client.once('connect', () => {
      client.on('error', () => {});
      resolve({ client, closed });
    });
    client.once('error', (error) => {
      client.on('error', () => {});
      client.end(true);
      reject(error);
    });
    client.once('close', () => reject(new Error('closed before CONNACK')));
  });
}

/** Calls back with the payload of every QoS 1 publish that was acknowledged: by a PUBACK on the wire, nothing else. */
export function onAcknowledged(client: MqttClient, acknowledged: (payload: string) => void): void {
  const sent = new Map<number, string>();
  client.on('packetsend', (packet) => {
    if (packet.cmd === 'publish' && packet.messageId) sent.set(packet.messageId, String(packet.payload));
  });
  client.on('packetreceive', (packet) => {
    if (packet.cmd !== 'puback') return;
    const payload = sent.get(packet.messageId!);
    if (payload !== undefined) acknowledged(payload);
  });
}
