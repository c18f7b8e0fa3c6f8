// The members of unions that the API describes.

/** Returns the members of a union in the order of `members`. A member that is missing there does not compile. */
export function membersOf<T extends string>(members: Record<T, true>): readonly T[] {
  return Object.keys(members) as T[];
}
