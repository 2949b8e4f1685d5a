/**
 * The names of fleets, devices and gateways, and the SPIFFE URI that carries them in a certificate.
 * Names are parsed once at the door into branded strings; past it, nobody checks them again.
 */
import { Fault } from './fault.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** 1–64 of `A–Z a–z 0–9 . _ : -`, the first alphanumeric. No character of it means anything in a topic filter. */
export type DeviceId = Branded<'DeviceId'>;
/** The same alphabet as a device id, without `:`. */
export type FleetId = Branded<'FleetId'>;
/** SHA-256 over the DER of a certificate, 64 lower-case hex digits. */
export type Fingerprint = Branded<'Fingerprint'>;

const devicePattern = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const fleetPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const fingerprintPattern = /^[0-9a-f]{64}$/;

export const isDeviceId = (text: string): text is DeviceId => devicePattern.test(text);
export const isFleetId = (text: string): text is FleetId => fleetPattern.test(text);

/** Faults `malformed`. */
export function parseDeviceId(text: string): DeviceId {
  if (isDeviceId(text)) return text;
  throw new Fault(
    'malformed',
    'A device id is 1 to 64 of A-Z a-z 0-9 . _ : - and begins with a letter or digit.',
  );
}

/** Faults `malformed`. */
export function parseFleetId(text: string): FleetId {
  if (isFleetId(text)) return text;
  throw new Fault(
    'malformed',
    'A fleet id is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit.',
  );
}

/** Accepts upper case and colons, as openssl prints them. Faults `malformed`. */
export function parseFingerprint(text: string): Fingerprint {
  const plain = text.replaceAll(':', '').toLowerCase();
  if (fingerprintPattern.test(plain)) return plain as Fingerprint;
  throw new Fault(
    'malformed',
    'A fingerprint is the SHA-256 of the certificate: 64 hex digits, colons allowed.',
  );
}

/** What the URI SANs of a fleet begin with. */
export const fleetUri = (trustDomain: string, fleet: FleetId): string =>
  `spiffe://${trustDomain}/fleet/${fleet}`;

/** The URI SAN of a device certificate (SPIFFE-ID, section 2). */
export function deviceUri(trustDomain: string, fleet: FleetId, device: DeviceId): string {
  return `${fleetUri(trustDomain, fleet)}/device/${device}`;
}

/** The URI SAN of a gateway certificate. */
export function gatewayUri(trustDomain: string, gateway: string): string {
  return `spiffe://${trustDomain}/gateway/${gateway}`;
}

/** The URI SAN of an operator's certificate. Names of operators are written like those of fleets. */
export function operatorUri(trustDomain: string, operator: string): string {
  return `spiffe://${trustDomain}/operator/${operator}`;
}

/** The gateway named by a URI SAN of this trust domain, or undefined. */
export function gatewayOfUri(trustDomain: string, uri: string): string | undefined {
  const prefix = gatewayUri(trustDomain, '');
  const name = uri.startsWith(prefix) ? uri.slice(prefix.length) : '';
  return isFleetId(name) ? name : undefined;
}
