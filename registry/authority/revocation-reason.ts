/** Why a certificate was revoked: the CRLReason words of RFC 5280, section 5.3.1, that fit a device. */
export const revocationReasons = [
  'unspecified',
  'keyCompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  'privilegeWithdrawn',
] as const;
export type RevocationReason = (typeof revocationReasons)[number];

/** For good; a hold is not. */
export type FinalReason = Exclude<RevocationReason, 'certificateHold'>;
