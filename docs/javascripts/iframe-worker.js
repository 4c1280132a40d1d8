// A page that was opened from the disk may start no worker: the search then runs in a hidden frame.
(() => {
  if (location.protocol !== "file:") return

  const load = (frame, url) => new Promise((done, failed) => {
    const script = frame.contentDocument.createElement("script")
    Object.assign(script, { src: url, onload: done, onerror: failed })
    frame.contentDocument.body.appendChild(script)
  })

  class FrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.body.appendChild(document.createElement("iframe"))
      this.frame.hidden = true
      const inside = this.frame.contentWindow
      inside.postMessage = data => this.hear(new MessageEvent("message", { data }))
      inside.importScripts = (...urls) =>
        urls.reduce((before, one) => before.then(() => load(this.frame, one)), Promise.resolve())
      this.ready = load(this.frame, url)
    }

    hear(event) {
      this.dispatchEvent(event)
      if (this.onmessage) this.onmessage(event)
    }

    postMessage(data) {
      const event = () => new MessageEvent("message", { data: structuredClone(data) })
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(event()))
    }

    terminate() {
      this.frame.remove()
    }
  }

  // The search looks for this name to know where its own files lie.
  window.IFrameWorker = window.Worker = FrameWorker
})()
