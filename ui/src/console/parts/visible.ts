/** Returns an attachment that calls `then` once, as soon as its element comes near the visible part of the page. */
export function whenVisible(then: () => void): (element: Element) => () => void {
  return (element) => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      then();
    });
    observer.observe(element);
    return () => observer.disconnect();
  };
}
