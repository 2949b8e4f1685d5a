/** When a certificate may be renewed: somewhere in the window of its profile, evenly over a fleet. Pure. */

/**
 * Milliseconds since 1970. `spread` is anything random that stays with the certificate: its serial number in hex. The
 * validity counts from issuance, `issuedMs`, since notBefore lies in the past.
 */
export function renewAfterMs(
  issuedMs: number,
  notAfterMs: number,
  { from, to }: { readonly from: number; readonly to: number },
  spread: string,
): number {
  const share = Number.parseInt(spread.slice(-12), 16) / 2 ** 48;
  return Math.round(issuedMs + ((notAfterMs - issuedMs) * (from + (to - from) * share)) / 100);
}
