/** What comes of a device at the doors of a house: its answer, and why it was refused. */
import { Agent, request } from 'undici';
import type { DeviceIdentity } from './api-client.ts';
import type { House } from './house.ts';
import { connectBytes, RawMqtt } from './raw-mqtt.ts';

export interface Turned {
  /** Reason code of MQTT 5; 0 when it was admitted. */
  readonly code: number | null;
  /** The word of the fault; null when it was admitted. */
  readonly reason: string | null;
}

/** Connects by MQTT 5 and says how that went; the connection is ended. */
export async function knock(house: House, device: DeviceIdentity, clientId = device.id): Promise<Turned> {
  using raw = await RawMqtt.open(device, house.port('mqtts'));
  raw.send(connectBytes(clientId, 5));
  const { reasonCode } = await raw.next('connack');
  return { code: reasonCode, reason: await reasonOf(house, device) };
}

/** The newest decision on the certificate. */
export async function reasonOf(house: House, { fingerprint }: DeviceIdentity): Promise<string | null> {
  const { body } = await house.api.call('GET', `/v1/decisions?fingerprint=${fingerprint}&limit=1`);
  return body.items[0].reason;
}

/** `GET /v1/me` at the HTTPS door. */
export async function me(
  house: House,
  device: DeviceIdentity,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const agent = new Agent({ connect: { ca: device.ca, cert: device.certificate, key: device.key } });
  try {
    const answer = await request(`${house.doors.https}/v1/me`, { dispatcher: agent });
    return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, unknown> };
  } finally {
    await agent.destroy();
  }
}
