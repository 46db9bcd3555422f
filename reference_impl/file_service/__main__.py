"""``python -m reference_impl.file_service [reprocess]``: run the service, or its command ``reprocess``."""

import sys

from reference_impl.service_libs import logging

if __name__ == "__main__":
    if sys.argv[1:2] == ["reprocess"]:
        from reference_impl.file_service import reprocess

        logging.configure("file_service", "WARNING")
        raise SystemExit(reprocess.main(sys.argv[2:]))
    if len(sys.argv) > 1:
        sys.stderr.write("the file service takes no arguments; its one command is: reprocess\n")
        raise SystemExit(2)
    from reference_impl.file_service.di import providers
    from reference_impl.service_libs.serving import main

    main(*providers())
