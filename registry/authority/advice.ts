/** What an operator does about a refusal at the door. The sentence that the device was told says what the device does. */
import type { FaultKind } from '#common/fault.ts';

/** `{device}` stands for the device, or for DEVICE where none is known. */
const advice: Partial<Record<FaultKind, string>> = {
  'no-certificate':
    'Configure the client certificate and its key in the device; a session that is resumed without one is refused too.',
  'untrusted-certificate':
    'Enroll the device here, or register the CA of its maker: `fleetgate anchors add`.',
  'unknown-certificate': 'Enroll the device: `fleetgate enroll --device {device} --token …`.',
  'certificate-malformed': 'The certificate breaks its format; whoever made it must make another.',
  'leaf-profile': 'It is no certificate of a device: give the device its own, not that of a CA or a server.',
  'certificate-expired': 'Enroll the device anew, and see why it has not renewed in time.',
  'certificate-not-yet-valid': 'Check the clocks of registry and gateway.',
  'certificate-revoked':
    'If the device is to come back, enroll it anew with a new key: `fleetgate tokens create`.',
  'certificate-held': '`fleetgate certificates reinstate` lets it in again.',
  'issuer-not-trusted': 'Its CA was taken out of use: enroll the device anew.',
  'revocation-unknown':
    'See `fleetgate anchors list`: the CRL or OCSP responder of its maker does not answer.',
  'renewal-only': 'Its certificate is outside its validity and good for renewal alone: let the device renew.',
  'enrollment-only': 'The device has not enrolled yet: it shows the certificate of its maker or a claim.',
  'device-pending': '`fleetgate devices enable {device}` lets it in.',
  'device-disabled': '`fleetgate devices enable {device}` lets it in again.',
  'device-revoked': '`fleetgate devices delete {device}` frees the id, so that it can be enrolled anew.',
  'directory-stale': 'The gateway has lost its registry: see its log and the network between them.',
  'client-id-mismatch':
    'Set the client id of the device to {device}, or give it a role that allows several sessions.',
  'protocol-version': 'The client must speak MQTT 3.1.1 or 5.',
  'connect-timeout':
    'The client opened a connection and sent no CONNECT: see whether it is meant for this door.',
  'connection-rate': 'See `limits.connectRate` and `limits.connectRatePerAddress`.',
  'connection-limit': 'See `limits.connections` and `limits.connectionsPerAddress`.',
  'will-not-allowed': 'The role of the device must grant the topic of its Will: `fleetgate policies test`.',
  'mapping-failed': 'See the mapping rules of the anchor: `fleetgate anchors show`.',
  'quota-exceeded': 'A bound on what is kept is reached; the sentence names it.',
  flapping: 'Mend the reconnects of the device: it needs a pause that grows.',
  quarantined: 'Find out which of the two is real, then `fleetgate devices enable {device}`.',
};

/** Null where the sentence of the refusal says all there is to do. */
export function adviceOn(reason: FaultKind | null, device: string | null): string | null {
  const text = reason === null ? undefined : advice[reason];
  return text?.replaceAll('{device}', device ?? 'DEVICE') ?? null;
}
